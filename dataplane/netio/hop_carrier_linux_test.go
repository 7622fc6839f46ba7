package netio

import (
	"errors"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestCarrierLost: where routes without carrier do not count (ignore_routes_with_linkdown), packets
// leave by the next route as soon as the kernel's own do, also if that is only set then, and by the
// first one again when the carrier is back.
func TestCarrierLost(t *testing.T) {
	p := newDirectPair(t, 1)
	twoLinks(t, p)
	nl := p.a.Netlink()
	if err := p.b.Sysctl("ipv6/conf/nn0/keep_addr_on_down", "1"); err != nil {
		t.Fatal(err)
	}
	for _, v6 := range []bool{false, true} {
		_, dst, _ := net.ParseCIDR(behind[v6])
		if err := errors.Join(
			nl.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(viaNN0[v6]), Priority: 10}),
			nl.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(viaNN1[v6]), Priority: 20}),
		); err != nil {
			t.Fatal(err)
		}
		step := func(err error, dev string) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			mustLeaveByAtLast(t, p, farOut(v6), dev)
		}
		ignored := map[bool]string{false: "ipv4", true: "ipv6"}[v6] + "/conf/nn0/ignore_routes_with_linkdown"
		step(nil, "nn0")
		// A neighbour that was learnt goes with the carrier.
		known := &netlink.Neigh{
			LinkIndex: linkIndex(t, p, "nn0"), Family: int(familyOf(far[v6])), IP: net.ParseIP(viaNN0[v6]), State: netlink.NUD_PERMANENT,
			HardwareAddr: asked(t, p.netA, farOut(v6)).to[:],
		}
		if err := nl.NeighSet(known); err != nil {
			t.Fatal(err)
		}
		step(nil, "nn0")
		e := asked(t, p.netA, farOut(v6))
		before := e.hop.Load()
		if err := p.b.SetLink("nn0", false); err != nil {
			t.Fatal(err)
		}
		until(t, "the notice of the loss", func() bool { h := e.hop.Load(); return h != nil && h != before })
		step(nil, "nn0") // as the kernel's own
		step(p.a.Sysctl(ignored, "1"), "nn1")
		step(p.b.SetLink("nn0", true), "nn0")
		step(p.b.SetLink("nn0", false), "nn1")
		step(p.b.SetLink("nn0", true), "nn0")
	}
}

// mustLeaveByAtLast sends datagrams like out until they pass by the IP stack through a's device.
func mustLeaveByAtLast(t *testing.T, p *pair, out Outgoing, name string) {
	t.Helper()
	index := linkIndex(t, p, name)
	until(t, "the way by "+name, func() bool {
		_ = sendOne(p.netA.Ports()[0], &out)
		k, _ := keyOf(out.Path.Local().Addr(), out.Path.Remote().Addr(), out.TOS)
		e := p.netA.hops.table.Load().entries[k]
		if e == nil {
			return false
		}
		h := e.hop.Load()
		return h != nil && int(h.name.Ifindex) == index
	})
}
