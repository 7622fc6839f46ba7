package tun

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"culvert/tun/protect"
)

// compareNow compares everything with the kernel, as is done every minute, and returns the number
// of repairs.
func (r *testRouter) compareNow() (rules, routes uint64) {
	r.t.Helper()
	before := r.Counters()
	r.mu.Lock()
	err := r.compare(true)
	r.mu.Unlock()
	if err != nil {
		r.t.Errorf("comparing: %v", err)
	}
	after := r.Counters()
	return after["rule_repairs"] - before["rule_repairs"], after["route_repairs"] - before["route_repairs"]
}

// ofEveryLength returns policies with local and remote networks of every prefix length, in both
// families. Own addresses of the host are among the local ones.
func ofEveryLength() (ps []protect.Policy) {
	for _, a := range [][2]netip.Addr{
		{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("100.77.85.170")},
		{netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2a55:aaaa:5555:aaaa:5555:aaaa:5555:aaaa")},
	} {
		for bits := range a[0].BitLen() + 1 {
			local, _ := a[0].Prefix(bits)
			remote, _ := a[1].Prefix(bits)
			ps = append(ps, protect.Policy{Local: []netip.Prefix{local}, Remote: []netip.Prefix{remote}})
		}
	}
	return ps
}

// The kernel returns some rules and routes in another form, for example a rule for /0 without a
// source. They are recognized: applying, comparing and applying again changes nothing.
func TestApplyingAgainChangesNothing(t *testing.T) {
	for _, fence := range []bool{true, false} {
		h, d := newGateway(t)
		r := routerIn(t, h, RouteConfig{Device: d, Fence: fence, Ports: []uint16{500, 4500}})
		ps := ofEveryLength()
		ps[3].Bypass = prefixes("96.0.0.0/6") // a throw route
		r.mustBecome(ps...)
		before := ours(t, h)
		if n := 2 * len(ps); len(before) < n {
			t.Fatalf("only %d rules and routes in the kernel, want more than %d", len(before), n)
		}
		if rules, routes := r.compareNow(); rules != 0 || routes != 0 {
			t.Errorf("fence %v: comparing mended %d rules and %d routes of those that were just applied", fence, rules, routes)
		}
		r.mustBecome(ps...)
		if after := ours(t, h); !slices.Equal(after, before) {
			t.Errorf("fence %v: applying again %s", fence, changed(before, after))
		}
	}
}

// changed returns a description of the difference of two lists.
func changed(before, after []string) string {
	in := func(list []string) func(string) bool { return func(s string) bool { return slices.Contains(list, s) } }
	gone, come := slices.DeleteFunc(slices.Clone(before), in(after)), slices.DeleteFunc(slices.Clone(after), in(before))
	return fmt.Sprintf("removed %q, added %q", gone, come)
}

// A repair that the kernel does not refuse is not tried again.
func TestRepairIsNotTriedAgain(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"))
	o := &others{t, h, kernelIn(t, h)}
	r.mu.Lock() // so that the notices are not acted on before
	for id := range 4 {
		o.flush(r.table + id)
	}
	err, due := r.compare(true), r.again.at
	r.mu.Unlock()
	if n := r.Counters()["route_repairs"]; err != nil || n == 0 || !due.IsZero() {
		t.Errorf("%d routes were repaired: %v, and another try is due at %v", n, err, due)
	}
}
