package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/internal/netlab"
	"culvert/tun/protect"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// logged is a log to look at.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// compareNow compares all with the kernel, as each minute does, and returns what was mended.
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

// ofEveryLength returns policies whose local and remote networks have every length of prefix, in
// both families, the host's own addresses among the former.
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

// The kernel gives rules and routes back in forms of its own, a rule for /0 without a source.
// Whatever they are, they are found again: applying, comparing and applying again changes nothing.
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

// changed is the difference of two lists, in words.
func changed(before, after []string) string {
	in := func(list []string) func(string) bool { return func(s string) bool { return slices.Contains(list, s) } }
	gone, come := slices.DeleteFunc(slices.Clone(before), in(after)), slices.DeleteFunc(slices.Clone(after), in(before))
	return fmt.Sprintf("removed %q, added %q", gone, come)
}

// A local network that holds every address keeps its rule through events.
func TestEveryAddressIsLocal(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d})
	r.mustBecome(policy("10.2.0.0/16", "0.0.0.0/0"), policy("2001:db8:2::/64", "::/0"))
	want := ours(t, h)
	if err := h.LAN("tnew", "172.20.0.1/16", "2001:db8:9::1/64"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the router knows of the address", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Contains(r.plan.addrs, netip.MustParseAddr("2001:db8:9::1")) && slices.Contains(r.plan.addrs, netip.MustParseAddr("172.20.0.1"))
	})
	if rules, routes := r.compareNow(); rules != 0 || routes != 0 {
		t.Errorf("comparing mended %d rules and %d routes", rules, routes)
	}
	got := slices.DeleteFunc(ours(t, h), func(s string) bool { return strings.Contains(s, "172.20.0.1/32") }) // its own rules
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// others is somebody who changes culvert's rules and routes.
type others struct {
	t *testing.T
	h *netlab.Host
	c *conn
}

func (o *others) change(kind, flags uint16, what interface {
	append(b []byte, kind, flags uint16) []byte
}) {
	o.t.Helper()
	err := o.c.change(1, func(b []byte, _ int) []byte { return what.append(b, kind, flags) }, func(_ int, err error) {
		o.t.Errorf("somebody's change: %v", err)
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

// What our own requests change the kernel does not tell us, nor routes in the tables of the system.
func TestOwnChangesAreNotTold(t *testing.T) {
	h, d := newGateway(t)
	ours := &others{t, h, kernelIn(t, h)}
	theirs := &others{t, h, kernelIn(t, h)}
	var w *watcher
	if err := h.Do(func() (err error) { w, err = watch(ours.c.port); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	route := func(table uint32) *kernelRoute {
		return &kernelRoute{table: table, dst: netip.MustParsePrefix("10.77.0.0/16"), metric: 7, kind: unix.RTN_UNICAST, protocol: 5, oif: uint32(d.Index())}
	}
	for _, who := range []*others{ours, theirs} {
		who.change(unix.RTM_NEWRULE, unix.NLM_F_CREATE, &kernelRule{prio: 700 + who.c.port%7, action: unix.FR_ACT_TO_TBL, table: 300})
		who.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, route(unix.RT_TABLE_MAIN))
		who.change(unix.RTM_DELROUTE, 0, route(unix.RT_TABLE_MAIN))
		who.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, route(300))
		who.change(unix.RTM_DELROUTE, 0, route(300))
	}
	for _, want := range []uint16{unix.RTM_NEWRULE, unix.RTM_NEWROUTE, unix.RTM_DELROUTE} {
		b, err := w.read(time.Now().Add(5 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range messages(b) {
			if m.kind != want || m.port != theirs.c.port {
				t.Errorf("told of kind %d by %d, want kind %d by %d", m.kind, m.port, want, theirs.c.port)
			}
		}
	}
	if _, err := w.read(time.Now()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("there is more: %v", err)
	}
}

// flush removes all routes of a table.
func (o *others) flush(table int) {
	o.t.Helper()
	var list []kernelRoute
	if err := listRoutes(o.c, table, func(k kernelRoute) { list = append(list, k) }); err != nil {
		o.t.Fatal(err)
	}
	for _, k := range list {
		o.change(unix.RTM_DELROUTE, 0, &kernelRoute{table: k.table, dst: k.dst, metric: k.metric, kind: k.kind})
	}
}

// What somebody removes is back within a moment, rule by rule and table by table, and counted and
// logged.
func TestRemovedIsMended(t *testing.T) {
	h, d := newGateway(t)
	var log logged
	r := routerIn(t, h, RouteConfig{Device: d, Fence: true, Ports: []uint16{500}, Log: log.logger()})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"), policy("2001:db8:2::/64", "2001:db8:1::/64"), policy("0.0.0.0/0", "10.9.0.0/16"))
	want := ours(t, h)
	o := &others{t, h, kernelIn(t, h)}
	back := func(what string) {
		t.Helper()
		defer func() {
			if t.Failed() {
				t.Logf("somebody's change %s", changed(want, ours(t, h)))
			}
		}()
		eventually(t, what+" is back", func() bool { return slices.Equal(ours(t, h), want) })
	}
	rules, err := listRules(o.c)
	if err != nil {
		t.Fatal(err)
	}
	removed := uint64(0)
	for _, k := range rules {
		if k.protocol != routeProtocol {
			continue
		}
		removed++
		o.change(unix.RTM_DELRULE, 0, &k)
		back("rule " + k.String())
	}
	if removed < 15 {
		t.Errorf("there were only %d rules", removed)
	}
	if got := r.Counters()["rule_repairs"]; got != removed {
		t.Errorf("%d repairs of rules counted, want %d", got, removed)
	}
	for id := range 4 {
		o.flush(r.Table() + id)
		back(fmt.Sprint("table ", id))
	}
	if got := r.Counters()["route_repairs"]; got == 0 {
		t.Error("no repair of a route was counted")
	}
	if n := strings.Count(log.String(), "event=routing-mended"); n != 1 {
		t.Errorf("logged %d times, want once in ten seconds:\n%s", n, &log)
	}
}

// What somebody puts into our tables, in place of ours or beside it, goes again; what is in tables
// that we do not use stays.
func TestForeignRoutesAreRemoved(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Fence: true})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"), policy("2001:db8:2::/64", "2001:db8:1::/64"))
	want := ours(t, h)
	out, err := h.Netlink().LinkByName("tout")
	if err != nil {
		t.Fatal(err)
	}
	table := uint32(r.Table())
	o := &others{t, h, kernelIn(t, h)}
	route := func(table uint32, dst string, metric uint32, protocol uint8) *kernelRoute {
		return &kernelRoute{table: table, dst: netip.MustParsePrefix(dst), metric: metric, kind: unix.RTN_UNICAST, protocol: protocol, oif: uint32(out.Attrs().Index)}
	}
	elsewhere := route(table+40, "10.2.0.0/16", 7, unix.RTPROT_STATIC)
	for _, k := range []*kernelRoute{
		elsewhere,
		route(table+1, "10.2.0.0/16", routeMetric, unix.RTPROT_STATIC),     // in place of ours
		route(table+1, "10.2.0.0/16", routeMetric, routeProtocol),          // and saying that it is
		route(table+1, "10.2.0.0/16", 7, unix.RTPROT_STATIC),               // before ours
		route(table+1, "10.2.3.0/24", 7, unix.RTPROT_STATIC),               // longer
		route(table+2, "2001:db8:2::/64", routeMetric, unix.RTPROT_STATIC), // the same over IPv6
		route(table+2, "2001:db8:2::/64", 7, unix.RTPROT_STATIC),
		route(table+2, "2001:db8:2:0:1::/80", 7, unix.RTPROT_STATIC),
		route(table, "10.2.0.0/16", 7, unix.RTPROT_STATIC),
	} {
		o.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, k)
		eventually(t, fmt.Sprintf("%+v is gone", k), func() bool {
			foreign := 0
			for id := range 3 {
				_ = listRoutes(o.c, r.Table()+id, func(k kernelRoute) {
					if k.protocol != routeProtocol {
						foreign++
					}
				})
			}
			return foreign == 0 && slices.Equal(ours(t, h), want)
		})
	}
	there := false
	_ = listRoutes(o.c, int(elsewhere.table), func(k kernelRoute) { there = there || k.dst == elsewhere.dst })
	if !there {
		t.Error("a route of others in a table of theirs was removed")
	}
}

// A rule without a priority comes before all others. Ours go in front of it, again and again.
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
	// A rule for sources that no policy has is none of our business.
	add(unix.AF_INET, "172.30.0.0/16", 5)
	if r.compareNow(); r.Counters()["rules_in_front"] != moves {
		t.Error("moved in front of a rule for other sources")
	}
	// At 1 there is nowhere to go: it is said.
	add(unix.AF_INET, "10.1.0.0/18", 1)
	eventually(t, "the rule in front is reported", func() bool { return strings.Contains(log.String(), "give it a greater priority") })
	for _, n := range ours(t, h) {
		if strings.HasPrefix(n, "rule 43") {
			t.Errorf("%s was left behind by a move", n)
		}
	}
}

// A priority of the configuration is kept, and what stands before it reported.
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
