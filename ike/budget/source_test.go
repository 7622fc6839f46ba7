package budget

import (
	"net/netip"
	"testing"
	"time"
)

func TestSources(t *testing.T) {
	addr := func(text string) netip.Addr { return netip.MustParseAddr(text) }
	most := SourceLimit{Host: 2, Strangers: 3, Known: 4}
	var r sources
	for i, tt := range []struct {
		at    time.Duration
		from  string
		known bool
		want  bool
	}{
		{0, "192.0.2.1", false, true},
		{0, "192.0.2.1", false, true},
		{0, "192.0.2.1", false, false},      // the host has had its two
		{0, "2001:db8::1", false, true},     // the last of strangers
		{0, "2001:db8::1", false, false},    // the total is used up
		{0, "198.51.100.1", true, true},     // known addresses have their own
		{0, "2001:db8:9::1", true, true},    //
		{0, "2001:db8:9::ffff", true, true}, // the same /64
		{0, "2001:db8:9::7", true, false},   // has had its two
		{0, "2001:db8:9:1::7", true, true},  // another one
		{0, "198.51.100.2", true, false},    // the total is used up
		{999 * time.Millisecond, "203.0.113.1", false, false},
		{time.Second, "203.0.113.1", false, true},
		{500 * time.Millisecond, "203.0.113.1", false, true}, // the clock was set back
	} {
		if got := r.allow(start.Add(tt.at), addr(tt.from), tt.known, most); got != tt.want {
			t.Errorf("event %d, from %s after %v: allowed %v", i, tt.from, tt.at, got)
		}
	}
}

// However many hosts send, no more of them are remembered than events are allowed.
func TestSourcesAreBounded(t *testing.T) {
	var r sources
	for n := range 10_000 {
		r.allow(start, netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), n%2 == 0, SourceLimit{Host: 5, Strangers: 20, Known: 30})
	}
	if len(r.from) != 50 {
		t.Errorf("%d hosts are remembered, not 50", len(r.from))
	}
}
