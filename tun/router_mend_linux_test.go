package tun

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

// A local network of every address keeps its rule through events.
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

// others is another program that changes culvert's rules and routes.
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

// Removed rules and routes are soon restored, rule by rule and table by table, counted and logged.
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

// Routes of other programs in our tables, in place of ours or beside them, are removed. Those in
// tables that we do not use stay.
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
		route(table+1, "10.2.0.0/16", routeMetric, routeProtocol),          // the same with our protocol
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
