package ike

import (
	"fmt"
	"testing"
	"time"
)

// gaugesAgree compares the gauges, in parts of n peers, with the status.
func gaugesAgree(t *testing.T, e *Engine, n int) {
	t.Helper()
	var got []string
	var g Gauges
	for next, first := (Mark{}), true; first || next != (Mark{}); first = false {
		if next = e.GaugesPart(next, n, &g); len(g.Peers) > n {
			t.Fatalf("a part of %d", len(g.Peers))
		}
		rest := g.Children
		for _, p := range g.Peers {
			text := fmt.Sprint(p.Name, p.IsParty, p.Connected, p.State, p.Held)
			for _, c := range rest[:p.Children] {
				text += fmt.Sprint(" ", c)
			}
			rest = rest[p.Children:]
			got = append(got, text)
		}
		if len(rest) > 0 {
			t.Errorf("children of nobody: %v", rest)
		}
	}
	list := e.Status()
	if len(got) != len(list) {
		t.Fatalf("%d peers, want %d", len(got), len(list))
	}
	for i, st := range list {
		connected := 0
		if st.Party != "" {
			connected = st.Parties.Connected
		}
		want := fmt.Sprint(st.Name, st.Party != "", connected, st.State, st.Held != nil)
		for _, c := range st.Children {
			want += fmt.Sprint(" ", ChildGauges{Name: c.Name, Policy: c.Policy, Rekeys: c.Rekeys, Up: c.State >= ChildInstalled, Carries: c.SPIIn != 0, Narrow: c.Narrow,
				Grouped: c.Role != nil, Active: c.Role != nil && c.Role.Active})
		}
		if got[i] != want {
			t.Errorf("got  %s\nwant %s", got[i], want)
		}
	}
}

// The gauges are the status's: of peers that are up, connecting, held, rekeyed and down.
func TestGaugesAreTheStatus(t *testing.T) {
	c := newCrowd(t)
	c.handle(c.left, SetPeers{Peers: crowdPeers(true, 30)})
	gaugesAgree(t, c.left, 7)
	c.handle(c.right, SetPeers{Peers: crowdPeers(false, 20)})
	for i := range 25 {
		c.handle(c.left, Connect{Peer: fmt.Sprintf("peer-%06d", i)})
	}
	c.one(c.left, Connect{Peer: "peer-000027"}) // nobody answers
	c.handle(c.left, Rekey{Peer: "peer-000003", Child: "lan"})
	c.handle(c.left, Disconnect{Peer: "peer-000004", By: "root"})
	for _, n := range []int{1, 7, 30, 1000} {
		gaugesAgree(t, c.left, n)
		gaugesAgree(t, c.right, n)
	}
	up, held := 0, 0
	var g Gauges
	c.left.GaugesPart(Mark{}, 30, &g)
	for i := range g.Peers {
		up += btoi(g.Children[i].Up)
		held += btoi(g.Peers[i].Held)
	}
	if up != 19 || held != 1 || g.Children[3].Rekeys != 1 {
		t.Errorf("%d are up and %d held; one was rekeyed %d times", up, held, g.Children[3].Rekeys)
	}
}

// So they are of policies with the same networks, and of parties.
func TestGaugesOfGroupsAndParties(t *testing.T) {
	g := newGroup(t, 3, nil)
	gaugesAgree(t, g.left.e, 2)
	g.drive(time.Second)
	g.gateways[0].kill()
	g.drive(2 * time.Minute)
	gaugesAgree(t, g.left.e, 2)
	p := manyUsers(t, 5)
	gaugesAgree(t, p.right.e, 2)
	for i := range 5 {
		if err := p.call(i); err != nil {
			t.Fatal(err)
		}
		gaugesAgree(t, p.right.e, 2)
	}
}

// Many parts take no more memory than one.
func TestGaugesAllocateNothing(t *testing.T) {
	c := newCrowd(t)
	c.handle(c.left, SetPeers{Peers: crowdPeers(true, 100)})
	c.handle(c.right, SetPeers{Peers: crowdPeers(false, 100)})
	c.connectAll(100)
	var g Gauges
	part := func() {
		for next, first := (Mark{}), true; first || next != (Mark{}); first = false {
			next = c.left.GaugesPart(next, 10, &g)
		}
	}
	part()
	// Of the iterator; nothing by the number of peers.
	if n := testing.AllocsPerRun(10, part); n > 50 {
		t.Errorf("%v allocations", n)
	}
}
