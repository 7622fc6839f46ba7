package tun

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// allRules returns one rule of each kind, for both families.
func allRules() map[rule]bool {
	list := make(map[rule]bool)
	for _, v6 := range []bool{false, true} {
		for k := range familyRules(v6, true, true, true) {
			list[k] = true
		}
		own := netip.MustParsePrefix("10.1.0.1/32")
		if v6 {
			own = netip.MustParsePrefix("2001:db8::1/128")
		}
		for _, k := range []rule{
			{at: ruleOwn, proto: unix.IPPROTO_ESP}, {at: ruleOwn, proto: unix.IPPROTO_UDP, port: 500}, {at: ruleARPProtocol, proto: unix.IPPROTO_UDP}, {at: ruleARPRest},
			{at: ruleFrom, table: 1}, {at: ruleErrors, table: 1},
		} {
			k.v6, k.src = v6, own
			list[k] = true
		}
	}
	return list
}

// The kernel takes a goto only to a later rule that is there. Until the rule for the tunnels' own
// packets is there, no other may lead a packet to the device.
func TestRulesAreAddedInOrder(t *testing.T) {
	r := &Router{prio: 7, table: 300, mark: protect.DefaultMark}
	r.errors, _ = r.mark.Errors()
	there := make(map[kernelRule]bool)
	at := func(v6 bool, prio uint32) bool {
		for k := range there {
			if k.v6 == v6 && k.prio == prio {
				return true
			}
		}
		return false
	}
	order := inOrder(allRules())
	for _, k := range order {
		n := r.kernelRule(k)
		if n.action == unix.FR_ACT_GOTO && (n.goTo <= n.prio || !at(k.v6, n.goTo)) {
			t.Errorf("%v comes before the target of its goto", n)
		}
		if n.action == unix.FR_ACT_TO_TBL && !at(k.v6, uint32(r.prio+ruleMark)) {
			t.Errorf("%v comes before the rule for the tunnels' own packets", n)
		}
		if k.at == ruleErrors && !at(k.v6, uint32(r.prio+ruleOther)) {
			t.Errorf("%v comes before the one that limits it", n)
		}
		if n.prio < 7 || n.prio >= 7+ruleCount || n.table < 300 || n.protocol != routeProtocol {
			t.Errorf("%v does not show whose it is", n)
		}
		there[n] = true
	}
	if len(there) != len(order) {
		t.Errorf("%d rules are %d in the kernel", len(order), len(there))
	}
}

func TestRulesOfAFamily(t *testing.T) {
	needed := func(v6, any, unbound, errors bool) (list []int) {
		for k, need := range familyRules(v6, any, unbound, errors) {
			if need {
				list = append(list, k.at)
			}
		}
		return list
	}
	for _, tt := range []struct {
		v6, any, unbound, errors bool
		want                     int
	}{
		{false, false, false, true, 0}, // no group, no rule: those cost every packet of the host
		{true, false, false, true, 0},
		{false, true, false, false, 2},
		{false, true, false, true, 3},
		{false, true, true, true, 4},
		{true, true, true, true, 7}, // IPv6 has four for packets without a source
	} {
		if got := needed(tt.v6, tt.any, tt.unbound, tt.errors); len(got) != tt.want {
			t.Errorf("%+v: got the rules %v", tt, got)
		}
	}
}

// ICMP errors about decrypted packets have a source of this host and a mark. They go to the device.
func TestErrorsGoToTheDevice(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d})
	r.mustBecome(policy("10.2.0.0/16", "10.7.0.0/24"), policy("10.3.0.0/16", "10.8.0.0/24"), policy("2001:db8:2::/64", "2001:db8:7::/64"))
	errors, ok := testMark.Errors()
	if !ok {
		t.Fatal("no mark for errors")
	}
	checkRoutes(t, h, []routeCase{
		{"an error", lookup{to: "10.2.0.9", from: "192.0.2.1", mark: errors.Value}, "tn0", ""},
		{"of the other group", lookup{to: "10.3.0.9", from: "192.0.2.1", mark: errors.Value | 1}, "tn0", ""},
		{"IPv6", lookup{to: "2001:db8:2::9", from: "2001:db8:f::1", mark: errors.Value}, "tn0", ""},
		{"to elsewhere", lookup{to: "198.51.100.1", from: "192.0.2.1", mark: errors.Value}, "tout", ""},
		{"without the mark", lookup{to: "10.2.0.9", from: "192.0.2.1"}, "tout", ""},
		{"with other bits alone", lookup{to: "10.2.0.9", from: "192.0.2.1", mark: 1}, "tout", ""},
	})
}

// The mark is matched under its mask: mark bits of Kubernetes and others have no effect.
func TestMarkIsMatchedUnderItsMask(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Mark: protect.DefaultMark})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"))
	for mark, dev := range map[uint32]string{
		0x20: "tout", 0xc020: "tout", 0xffff0f20: "tout", 0xffffff9f | 0x20: "tout",
		0: "tn0", 0x8000: "tn0", 0x4000: "tn0", 0xffffff9f: "tn0", 0x60: "tn0",
	} {
		checkRoutes(t, h, []routeCase{{fmt.Sprintf("marked %#x", mark), lookup{to: "10.2.0.9", from: "10.1.0.1", mark: mark}, dev, ""}})
	}
}
