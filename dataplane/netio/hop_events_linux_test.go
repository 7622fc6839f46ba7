package netio

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// notice returns a netlink message.
func notice(kind uint16, body []byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(b, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	return append(b, body...)
}

// TestNotices: what a notice drops, and what it leaves.
func TestNotices(t *testing.T) {
	h := idleCache(t)
	gateway, mac, another := addrB2[false], [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
	e := &entry{key: hopKey{addrA[false], netip.MustParseAddr("203.0.113.1"), 0}}
	put(h, e)
	route := func(kind uint16, dst string) []byte {
		p := netip.MustParsePrefix(dst)
		attrs := attr(unix.RTA_DST, p.Addr().AsSlice())
		if p.Bits() == 0 {
			attrs = nil
		}
		return notice(kind, body(12, map[int]byte{0: familyOf(p.Addr()), 1: byte(p.Bits())}, attrs))
	}
	addr := func(a netip.Addr) []byte {
		return notice(unix.RTM_DELADDR, body(8, nil, attr(unix.IFA_LOCAL, a.AsSlice())))
	}
	link := func(index, flags byte) []byte {
		return notice(unix.RTM_NEWLINK, body(16, map[int]byte{4: index, 8: flags}))
	}
	h.links[3], h.links[4] = unix.IFF_UP, unix.IFF_UP
	neighbour := func(kind uint16, state, index byte, a netip.Addr, mac [6]byte) []byte {
		return notice(kind, body(12, map[int]byte{4: index, 8: state}, attr(unix.NDA_DST, a.AsSlice()), attr(unix.NDA_LLADDR, mac[:])))
	}
	for _, tt := range []struct {
		name    string
		message []byte
		way     bool // there is one before
		drops   bool
	}{
		{"a route to the peer", route(unix.RTM_NEWROUTE, "203.0.113.0/24"), true, true},
		{"the default route", route(unix.RTM_DELROUTE, "0.0.0.0/0"), true, true},
		{"the route of our address", route(unix.RTM_DELROUTE, "192.0.2.1/32"), true, true},
		{"another route", route(unix.RTM_NEWROUTE, "203.0.114.0/24"), true, false},
		{"a route of the other family", route(unix.RTM_NEWROUTE, "::/0"), true, false},
		{"half a route", notice(unix.RTM_NEWROUTE, nil), true, true},
		{"our address", addr(addrA[false]), true, true},
		{"another address", addr(addrA2[false]), true, true},
		{"the device", link(3, unix.IFF_UP|unix.IFF_DEBUG), true, true},
		{"another device", link(4, unix.IFF_UP|unix.IFF_DEBUG), true, false},
		{"the carrier of another device", link(4, unix.IFF_UP|unix.IFF_RUNNING), true, true},
		{"another device as it is now", link(4, unix.IFF_UP|unix.IFF_RUNNING), true, false},
		{"a new device", link(5, 0), true, true},
		{"another device's end", notice(unix.RTM_DELLINK, body(16, map[int]byte{4: 4})), true, true},
		{"half a device", notice(unix.RTM_NEWLINK, nil), true, false},
		{"the neighbour as it was", neighbour(unix.RTM_NEWNEIGH, unix.NUD_STALE, 3, gateway, mac), true, false},
		{"the neighbour elsewhere", neighbour(unix.RTM_NEWNEIGH, unix.NUD_STALE, 3, gateway, another), true, true},
		{"the neighbour has failed", neighbour(unix.RTM_NEWNEIGH, unix.NUD_FAILED, 3, gateway, mac), true, true},
		{"the neighbour is forgotten", neighbour(unix.RTM_DELNEIGH, unix.NUD_STALE, 3, gateway, mac), true, true},
		{"another neighbour", neighbour(unix.RTM_NEWNEIGH, unix.NUD_FAILED, 3, addrB[false], mac), true, false},
		{"its namesake", neighbour(unix.RTM_NEWNEIGH, unix.NUD_FAILED, 4, gateway, mac), true, false},
		{"half a neighbour", notice(unix.RTM_NEWNEIGH, nil), true, false},
		{"the neighbour is found", neighbour(unix.RTM_NEWNEIGH, unix.NUD_REACHABLE, 3, gateway, mac), false, true},
		{"the neighbour is looked for", neighbour(unix.RTM_NEWNEIGH, unix.NUD_INCOMPLETE, 3, gateway, [6]byte{}), false, false},
		{"a rule", notice(unix.RTM_NEWRULE, body(12, nil)), true, true},
		{"a setting of routes", notice(unix.RTM_NEWNETCONF, nil), true, true},
		{"a next hop", notice(unix.RTM_DELNEXTHOP, nil), true, true},
		{"something else", notice(unix.RTM_NEWQDISC, nil), true, false},
		{"no message", []byte{200, 0, 0, 0, 1}, true, false},
		{"a longer message", append([]byte{200, 0, 0, 0}, make([]byte, 20)...), true, false},
	} {
		e.link, e.via, e.to, e.stale = 3, gateway, mac, false
		e.hop.Store(nil)
		if tt.way {
			e.hop.Store(&hop{})
		}
		h.take(append(notice(unix.NLMSG_DONE, nil), tt.message...))
		if dropped := e.stale; dropped != tt.drops || dropped && e.hop.Load() != nil || !dropped && tt.way && e.hop.Load() == nil {
			t.Errorf("%s: dropped %t", tt.name, dropped)
		}
	}
}

// TestLostNotices: after the kernel has dropped notices, everything is asked again.
func TestLostNotices(t *testing.T) {
	h := idleCache(t)
	h.rulesChanged.Store(false)
	e := &entry{key: testKey(1)}
	e.hop.Store(&hop{})
	put(h, e)
	h.dropAll()
	if e.hop.Load() != nil || !e.stale || !h.rulesChanged.Load() {
		t.Error("something is kept")
	}
}

// TestDeafCache: when there are no more notices, nothing passes by any more.
func TestDeafCache(t *testing.T) {
	p := newDirectPair(t, 1)
	mustGoDirect(t, p.netA, espOut(false, 100))
	p.netA.hops.deafen(unix.EBADF)
	mustNotGoDirect(t, p.netA, espOut(false, 100))
	if got := p.netA.hops.words(nil); got != "socket: to 192.0.2.2: changes of routes are not seen any more" {
		t.Errorf("they are sent: %s", got)
	}
}

// TestNeighbourMoves: packets go to the neighbour's present address, and through the IP stack while
// there is none.
func TestNeighbourMoves(t *testing.T) {
	p := newDirectPair(t, 1)
	log, index := newFrameLog(t, p.b, "nn0"), linkIndex(t, p, "nn0")
	for _, v6 := range []bool{false, true} {
		out := espOut(v6, 100)
		mustGoDirect(t, p.netA, out)
		moved := net.HardwareAddr{2, 0, 0, 0, 0, 7}
		n := &netlink.Neigh{LinkIndex: index, Family: int(familyOf(addrB[v6])), IP: addrB[v6].AsSlice(), HardwareAddr: moved, State: unix.NUD_PERMANENT}
		old := asked(t, p.netA, out).hop.Load()
		if err := p.a.Netlink().NeighSet(n); err != nil {
			t.Fatal(err)
		}
		until(t, "the neighbour's new address", func() bool { return asked(t, p.netA, out).hop.Load() != old })
		got := log.during(func() { mustGoDirect(t, p.netA, out) })
		if last := got[len(got)-1]; net.HardwareAddr(last[:6]).String() != moved.String() {
			t.Errorf("v6=%t: sent to %s", v6, net.HardwareAddr(last[:6]))
		}
		if err := p.a.Netlink().NeighDel(n); err != nil {
			t.Fatal(err)
		}
		until(t, "the neighbour's first address", func() bool { return asked(t, p.netA, out).to != [6]byte(moved) })
		got = log.during(func() { mustGoDirect(t, p.netA, out) })
		if last := got[len(got)-1]; net.HardwareAddr(last[:6]).String() == moved.String() {
			t.Errorf("v6=%t: still sent to %s", v6, moved)
		}
	}
}

// TestAddressGoesWithARoute: with an address go the routes that prefer it as their source;
// older kernels tell nothing of these.
func TestAddressGoesWithARoute(t *testing.T) {
	p := newDirectPair(t, 1)
	twoLinks(t, p)
	nl, addr := p.a.Netlink(), &netlink.Addr{IPNet: netlink.NewIPNet(net.ParseIP("192.0.2.77"))}
	link, err := nl.LinkByName("nn0")
	if err != nil {
		t.Fatal(err)
	}
	_, dst, _ := net.ParseCIDR(behind[false])
	if err := errors.Join(
		nl.AddrAdd(link, addr),
		nl.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(viaNN0[false]), Src: addr.IP}),
		nl.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(viaNN1[false]), Priority: 10}),
	); err != nil {
		t.Fatal(err)
	}
	mustLeaveBy(t, p, farOut(false), "nn0")
	e := asked(t, p.netA, farOut(false))
	if err := nl.AddrDel(link, addr); err != nil {
		t.Fatal(err)
	}
	nn0 := int32(linkIndex(t, p, "nn0"))
	until(t, "no more by the first link", func() bool {
		h := e.hop.Load()
		return h == nil || h.name.Ifindex != nn0
	})
	mustLeaveBy(t, p, farOut(false), "nn1")
}
