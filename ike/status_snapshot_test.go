package ike

import (
	"slices"
	"testing"
)

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

// TestStatusOfPart: one peer of many, a peer with many parties in parts, one of its parties, and
// nobody.
func TestStatusOfPart(t *testing.T) {
	c := newCrowd(t)
	c.handle(c.left, SetPeers{Peers: crowdPeers(true, 100)})
	for _, name := range []string{"peer-000000", "peer-000042", "peer-000099"} {
		list, next := c.left.StatusOfPart(name, Mark{}, 10)
		if len(list) != 1 || list[0].Name != name || next != (Mark{}) {
			t.Errorf("%s: %v, then %v", name, list, next)
		}
	}
	if list, next := c.left.StatusOfPart("nobody", Mark{}, 10); len(list) != 0 || next != (Mark{}) {
		t.Errorf("nobody: %v, then %v", list, next)
	}
	if one, hundred := testing.AllocsPerRun(5, func() { c.left.StatusOfPart("peer-000042", Mark{}, 1000) }), testing.AllocsPerRun(5, func() { c.left.StatusPart(Mark{}, 1000) }); one > hundred/50 {
		t.Errorf("%.0f allocations for one peer, %.0f for all 100", one, hundred)
	}
}
