package ike

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// wantReason checks that the side's peer is not up, and why.
func (p *testPair) wantReason(s *testSide, text string) {
	p.t.Helper()
	st := s.e.Status()[0]
	if st.State == PeerEstablished || !strings.Contains(st.Reason, text) {
		p.fatalf("%s: state %d, reason %q, want one with %q", s.name, st.State, st.Reason, text)
	}
}

func TestReasonAfterMalformedRequest(t *testing.T) {
	p := newPair(t, 3, nil)
	p.up()
	a := newAttack(p)
	a.asPeer(p.right, wire.CreateChildSA, &wire.Nonce{Data: make([]byte, 32)})
	p.wantReason(p.right, "malformed")
}

// unexplained names what is not up without a reason.
func (s *testSide) unexplained() string {
	for _, st := range s.e.Status() {
		if st.State != PeerEstablished && st.State != PeerRekeying && st.Reason == "" {
			return st.Name
		}
		for _, c := range st.Children {
			if (c.State == ChildDown || c.State == ChildWaiting) && c.Reason == "" {
				return st.Name + "/" + c.Name
			}
		}
	}
	return ""
}

// A snapshot in parts has every peer once, whatever else comes and goes meanwhile.
func TestStatusInParts(t *testing.T) {
	c := newCrowd(t)
	c.handle(c.left, SetPeers{Peers: crowdPeers(true, 100)})
	var got []string
	for next, turn := (Mark{}), 0; turn == 0 || next != (Mark{}); turn++ {
		var list []PeerStatus
		list, next = c.left.StatusPart(next, 7)
		for _, st := range list {
			got = append(got, st.Name)
		}
		if len(list) > 7 || turn > 50 {
			t.Fatalf("a part of %d, turn %d", len(list), turn)
		}
		// The peers from 3 to 60 go, one after another, and others come behind.
		gone := crowdPeer(true, 3+turn*5)
		c.handle(c.left, ChangePeers{Gone: []string{gone.Name}, Set: []Peer{crowdPeer(true, 1000+turn)}})
	}
	seen := map[string]int{}
	for _, name := range got {
		seen[name]++
	}
	for i := range 100 {
		name := crowdPeer(true, i).Name
		if n := seen[name]; n > 1 || n == 0 && c.left.peers.byName[name] != nil {
			t.Errorf("%s is there %d times", name, n)
		}
	}
	if !slices.IsSorted(got[:50]) {
		t.Errorf("not in order: %v", got)
	}
	if st, ok := c.left.StatusOf("peer-000000"); !ok || st.Name != "peer-000000" {
		t.Errorf("got %v, %t", st, ok)
	}
	if _, ok := c.left.StatusOf("nobody"); ok {
		t.Error("nobody has a status")
	}
}

// TestStatusOfStates: what people see of an IKE SA in each of its states.
func TestStatusOfStates(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	s := p.left.e.peers.order[0].party.main()
	for _, tt := range []struct {
		state  saState
		ours   *rekeyExchange
		theirs *ikeSA
		want   PeerState
	}{
		{saEstablished, nil, nil, PeerEstablished},
		{saEstablished, &rekeyExchange{}, nil, PeerRekeying},
		{saEstablished, nil, &ikeSA{}, PeerRekeying},
		{saRekeyed, nil, nil, PeerRekeying},
		{saClosing, nil, nil, PeerClosing},
		{saClosing, &rekeyExchange{}, nil, PeerClosing},
		{saHalfOpen, nil, nil, PeerDown},
	} {
		s.state, s.succ.ours, s.succ.theirs = tt.state, tt.ours, tt.theirs
		var st PeerStatus
		if s.describe(&st); st.State != tt.want {
			t.Errorf("%+v: shown as %d", tt, st.State)
		}
	}
}

// TestWhatNext: people are told what happens next to a child that is not up.
func TestWhatNext(t *testing.T) {
	p := newPair(t, 1, nil)
	pol := p.left.e.peers.order[0].party.policies[0]
	party := pol.Owner().(*party)
	remote := party.cfg.Remote
	soon, later := p.now.Add(1500*time.Millisecond), p.now.Add(time.Minute)
	for _, tt := range []struct {
		name       string
		want, busy bool
		start      StartMode
		remote     bool
		retry, try time.Time
		text       string
	}{
		{"under way", true, true, StartBoot, true, later, later, ""},
		{"the peer has to call", true, false, StartBoot, false, time.Time{}, time.Time{}, "waiting for the peer to connect: no remote address is configured"},
		{"at once", true, false, StartBoot, true, time.Time{}, time.Time{}, ""},
		{"after the child's pause", true, false, StartBoot, true, soon, time.Time{}, "next try in 2 s"},
		{"after the peer's pause", true, false, StartBoot, true, soon, later, "next try in 60 s"},
		{"traffic, after a pause", false, false, StartTraffic, true, soon, time.Time{}, "waiting for traffic after a pause of 2 s"},
		{"traffic", false, false, StartTraffic, true, time.Time{}, time.Time{}, "waiting for traffic"},
		{"a command", false, false, StartNever, true, time.Time{}, time.Time{}, "down until requested"},
		{"told by the reason", false, false, StartBoot, true, time.Time{}, time.Time{}, ""},
	} {
		pol.Settings.Start = tt.start
		pol.Start()
		if !tt.want {
			pol.Close()
		}
		if pol.Settled(); tt.busy {
			pol.Begin()
		}
		if !tt.retry.IsZero() {
			pol.TryIn(tt.retry.Sub(p.now), "for the test")
		}
		party.try.At, party.cfg.Remote = tt.try, nil
		if tt.remote {
			party.cfg.Remote = remote
		}
		if got := whatNext(pol); got != tt.text {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.text)
		}
	}
}
