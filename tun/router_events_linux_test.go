package tun

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Beyond the bound events are not recorded, and everything is compared.
func TestEventsAreBounded(t *testing.T) {
	r := &Router{table: first, plan: newPlan(nil, false)}
	var e events
	e.reset()
	for i := range 2 * maxEvents {
		k := kernelRoute{table: first + 1, dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
		m := k.append(nil, unix.RTM_DELROUTE, 0)
		complete(m, 0, 0)
		for m := range messages(m) {
			r.note(&e, m, nil)
		}
	}
	if len(e.routes) != maxEvents || !e.full() {
		t.Errorf("%d events are remembered of %d", len(e.routes), maxEvents)
	}
}

// A device that went down has lost its routes, even if it is up again when the notices are acted
// on.
func TestDeviceNews(t *testing.T) {
	for _, tt := range []struct {
		notices []bool // it is up
		want    deviceNews
	}{
		{nil, deviceSame}, {[]bool{true}, deviceUp}, {[]bool{true, true}, deviceUp}, {[]bool{false}, deviceDown}, {[]bool{true, false}, deviceDown},
		{[]bool{false, true}, deviceBack}, {[]bool{false, true, true}, deviceBack}, {[]bool{false, true, false}, deviceDown}, {[]bool{true, false, true}, deviceBack},
	} {
		var got deviceNews
		for _, up := range tt.notices {
			got = got.then(up)
		}
		if got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.notices, got, tt.want)
		}
	}
}

// A notice about a rule that cannot be read tells nothing of a rule of ours.
func TestUnreadableRule(t *testing.T) {
	r := &Router{table: first, plan: newPlan(nil, false)}
	var e events
	e.reset()
	k := kernelRule{table: first, protocol: routeProtocol}
	m := k.append(nil, unix.RTM_DELRULE, 0)
	complete(m, 0, 0)
	for m := range messages(m) {
		m.body = m.body[:3]
		r.note(&e, m, nil)
	}
	if len(e.rules) != 0 || e.news != 0 {
		t.Errorf("%d rules are news: %v", len(e.rules), e.news)
	}
}
