package tun

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A rule that is added without a priority comes before all others. Ours move before it each time.
func TestRulesStayInFront(t *testing.T) {
	h, d := newGateway(t)
	var log logged
	r := routerIn(t, h, RouteConfig{Device: d, Log: log.logger()})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"), policy("2001:db8:2::/64", "2001:db8:1::/64"))
	cases := []routeCase{
		{"protected", lookup{to: "10.2.0.9", from: "10.1.0.50", iif: "tlan"}, "tn0", ""},
		{"ours", lookup{to: "10.2.0.9", from: "10.1.0.1"}, "tn0", ""},
		{"no source yet", lookup{to: "10.2.0.9"}, "tn0", "10.1.0.1"},
		{"marked", lookup{to: "10.2.0.9", from: "10.1.0.1", mark: testMark.Value}, "tout", ""},
		{"IPv6", lookup{to: "2001:db8:2::9", from: "2001:db8:1::50", iif: "tlan"}, "tn0", ""},
	}
	checkRoutes(t, h, cases)
	out, err := h.Netlink().LinkByName("tout")
	if err != nil {
		t.Fatal(err)
	}
	o := &others{t, h, kernelIn(t, h)}
	for _, dst := range []string{"0.0.0.0/0", "::/0"} {
		o.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, &kernelRoute{
			table: 100, dst: netip.MustParsePrefix(dst), metric: 7, kind: unix.RTN_UNICAST, protocol: unix.RTPROT_STATIC, oif: uint32(out.Attrs().Index),
		})
	}
	add := func(family int, src string, prio int) {
		t.Helper()
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Priority = family, 100, prio
		_, rule.Src, _ = net.ParseCIDR(src)
		if err := h.Netlink().RuleAdd(rule); err != nil {
			t.Fatal(err)
		}
	}
	moves := uint64(0)
	for _, c := range []struct {
		family int
		src    string
		prio   int // -1: none
	}{{unix.AF_INET, "10.1.0.0/16", -1}, {unix.AF_INET6, "2001:db8:1::/64", -1}, {unix.AF_INET, "10.1.0.0/17", -1}, {unix.AF_INET, "10.0.0.0/8", 1000}} {
		add(c.family, c.src, c.prio)
		moves++
		eventually(t, "the router saw the rule from "+c.src, func() bool { return r.Counters()["rules_in_front"] == moves })
		checkRoutes(t, h, cases)
		if !strings.Contains(log.String(), "from "+c.src+" lookup 100") {
			t.Errorf("the rule is not named in the log:\n%s", &log)
		}
	}
	if rules, routes := r.compareNow(); rules != 0 || routes != 0 {
		t.Errorf("comparing mended %d rules and %d routes", rules, routes)
	}
	// A rule for sources of no policy does not matter.
	add(unix.AF_INET, "172.30.0.0/16", 5)
	if r.compareNow(); r.Counters()["rules_in_front"] != moves {
		t.Error("moved in front of a rule for other sources")
	}
	// There is no priority before 1: a warning is logged.
	add(unix.AF_INET, "10.1.0.0/18", 1)
	eventually(t, "the rule in front is reported", func() bool { return strings.Contains(log.String(), "give it a greater priority") })
	for _, n := range ours(t, h) {
		if strings.HasPrefix(n, "rule 43") {
			t.Errorf("%s was left behind by a move", n)
		}
	}
}

// A configured priority is kept, and rules before it are reported.
func TestFixedPriority(t *testing.T) {
	h, d := newGateway(t)
	var log logged
	r := routerIn(t, h, RouteConfig{Device: d, Priority: 2000, Log: log.logger()})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"))
	rule := netlink.NewRule()
	rule.Family, rule.Table, rule.Priority = unix.AF_INET, 100, 1500
	if err := h.Netlink().RuleAdd(rule); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rule in front is reported", func() bool { return strings.Contains(log.String(), "1500: from all lookup 100") })
	for _, s := range ours(t, h) {
		if strings.HasPrefix(s, "rule") && !strings.HasPrefix(s, "rule 20") {
			t.Errorf("%s is not from 2000 on", s)
		}
	}
	if got := r.Counters()["rules_in_front"]; got != 1 {
		t.Errorf("%d rules in front counted, want 1", got)
	}
}

// The rules need the whole range of their priorities: one in which another daemon has a rule,
// at either end, is passed over, and a rule beside it or of a dead daemon is not in the way.
func TestFreeRangeOfPriorities(t *testing.T) {
	r := &Router{plan: newPlan(nil, false)}
	free := r.choosePriority(nil)
	for _, tt := range []struct {
		prio     int
		protocol uint8
		stale    bool
		want     int
	}{
		{free - 1, routeProtocol, false, free},
		{free, routeProtocol, false, free - ruleCount},
		{free + ruleCount - 1, routeProtocol, false, free - ruleCount},
		{free + ruleCount, routeProtocol, false, free},
		{free + ruleCount - 1, routeProtocol, true, free},
		{free, unix.RTPROT_STATIC, false, free}, // for sources of no policy
	} {
		k := kernelRule{prio: uint32(tt.prio), protocol: tt.protocol, action: unix.FR_ACT_TO_TBL, table: 100}
		r.stale = nil
		if tt.stale {
			r.stale = []kernelRule{k}
		}
		if got := r.choosePriority([]kernelRule{k}); got != tt.want {
			t.Errorf("beside %+v: the rules begin at %d, want %d", tt, got, tt.want)
		}
	}
	var all []kernelRule
	for prio := range free + ruleCount {
		all = append(all, kernelRule{prio: uint32(prio), protocol: routeProtocol})
	}
	if got := r.choosePriority(all); got != 0 {
		t.Errorf("among rules everywhere the rules begin at %d", got)
	}
}
