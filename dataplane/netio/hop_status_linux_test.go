package netio

import (
	"net/netip"
	"testing"
)

// TestHopWords: the devices by which packets are sent past the IP stack, and why those to others
// are not.
func TestHopWords(t *testing.T) {
	h := idleCache(t)
	entryTo := func(remote string, link int, why error) *entry {
		e := &entry{key: hopKey{addrA[false], netip.MustParseAddr(remote), 0}, link: link, why: why}
		if why == nil {
			e.hop.Store(&hop{})
		}
		return e
	}
	devices := map[int]string{1: "one", 2: "two"}
	b, a := entryTo("192.0.2.8", 0, obstacleVRF), entryTo("192.0.2.7", 0, errNoNeighbour)
	for _, tt := range []struct {
		entries []*entry
		want    string
	}{
		{nil, "idle"},
		{[]*entry{{key: testKey(1)}}, "idle"}, // not asked yet
		{[]*entry{entryTo("192.0.2.1", 2, nil), entryTo("192.0.2.2", 1, nil), entryTo("192.0.2.3", 1, nil)}, "on: one,two"},
		{[]*entry{b}, "socket: to 192.0.2.8: its device is in a VRF"},
		{[]*entry{b, a}, "socket: to 192.0.2.7: the neighbour is not known, and to 1 more"},
		{[]*entry{entryTo("192.0.2.1", 2, nil), b}, "on: two; socket: to 192.0.2.8: its device is in a VRF"},
	} {
		if put(h, tt.entries...); h.words(devices) != tt.want {
			t.Errorf("got %q, want %q", h.words(devices), tt.want)
		}
	}
}
