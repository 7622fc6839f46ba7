package netio

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// twoLinks adds a second link nn1 between a and b, and a network behind b for routes:
//
//	a 192.0.2.1    nn0    192.0.2.2    b
//	  198.51.100.1 nn1    198.51.100.2   203.0.113.1
func twoLinks(t *testing.T, p *pair) {
	t.Helper()
	if err := p.lab.Link(netlab.Iface{Host: p.a, Name: "nn1", Addrs: []string{"198.51.100.1/24", "2001:db8:5::1/64"}},
		netlab.Iface{Host: p.b, Name: "nn1", Addrs: []string{"198.51.100.2/24", "2001:db8:5::2/64"}}, 1500); err != nil {
		t.Fatal(err)
	}
	if err := p.b.LAN("lan", "203.0.113.1/24", "2001:db8:f::1/64"); err != nil {
		t.Fatal(err)
	}
	for _, dev := range []string{"all", "nn0", "nn1"} {
		if err := p.b.Sysctl("ipv4/conf/"+dev+"/rp_filter", "0"); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	behind = map[bool]string{false: "203.0.113.0/24", true: "2001:db8:f::/64"}
	far    = map[bool]netip.Addr{false: netip.MustParseAddr("203.0.113.1"), true: netip.MustParseAddr("2001:db8:f::1")}
	viaNN0 = map[bool]string{false: "192.0.2.2", true: "2001:db8::2"}
	viaNN1 = map[bool]string{false: "198.51.100.2", true: "2001:db8:5::2"}
)

// farOut returns a datagram from a to the network behind b.
func farOut(v6 bool) Outgoing {
	return Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(addrA[v6], 0), at(far[v6], 0))}
}

// linkIndex returns the index of a's device.
func linkIndex(t *testing.T, p *pair, name string) int {
	t.Helper()
	link, err := p.a.Netlink().LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().Index
}

// mustLeaveBy sends datagrams like out until they pass by the IP stack through a's device.
func mustLeaveBy(t *testing.T, p *pair, out Outgoing, name string) {
	t.Helper()
	mustGoDirect(t, p.netA, out)
	e := asked(t, p.netA, out)
	if now := snapshot(p.netA, e); now.link != linkIndex(t, p, name) || e.hop.Load() == nil {
		t.Errorf("to %s the device is %d, not %s", out.Path.Remote().Addr(), now.link, name)
	}
}

type known struct {
	link  int
	fixed bool
}

// snapshot returns what the cache, which may ask for e again at any time, knows of it now.
func snapshot(n *Net, e *entry) known {
	n.hops.mu.Lock()
	defer n.hops.mu.Unlock()
	return known{e.link, e.fixed}
}

// TestObstacles: where packets cannot pass by the IP stack they go through it, and once the
// obstacle has gone they pass by it.
func TestObstacles(t *testing.T) {
	var log lines
	p := newDirectPair(t, 1)
	p.netA.hops.log = slog.New(slog.NewTextHandler(&log, nil))
	twoLinks(t, p)
	for _, v6 := range []bool{false, true} {
		if err := p.a.Route(behind[v6], viaNN0[v6], 0); err != nil {
			t.Fatal(err)
		}
		for name, o := range obstacles(p, v6) {
			mustLeaveBy(t, p, farOut(v6), "nn0")
			if err := o.put(); err != nil {
				t.Logf("v6=%t, %s: not on this host: %v", v6, name, err)
				continue
			}
			mustNotGoDirect(t, p.netA, farOut(v6))
			if e := snapshot(p.netA, asked(t, p.netA, farOut(v6))); e.fixed != (o.told != "" || name == "not received by") {
				t.Errorf("v6=%t, %s: fixed %t", v6, name, e.fixed)
			}
			if o.told != "" && log.count(string(o.told)) != 1 {
				t.Errorf("%s: it was told %d times", name, log.count(string(o.told)))
			}
			if err := o.remove(); err != nil {
				t.Fatal(err)
			}
		}
		mustLeaveBy(t, p, farOut(v6), "nn0")
	}
	if Obstacle(obstacleRule) != 0 {
		t.Error("an obstacle of the fast path is taken for one of sending")
	}
}

type testObstacle struct {
	told        obstacle
	put, remove func() error
}

func obstacles(p *pair, v6 bool) map[string]testObstacle {
	nl := p.a.Netlink()
	_, dst, _ := net.ParseCIDR(behind[v6])
	route := func(r netlink.Route) func() error {
		r.Dst = dst
		return func() error { return nl.RouteReplace(&r) }
	}
	back := func() error { return p.a.Route(behind[v6], viaNN0[v6], 0) }
	hop := func(via string) *netlink.NexthopInfo { return &netlink.NexthopInfo{Gw: net.ParseIP(via)} }
	rule := netlink.NewRule()
	rule.Family, rule.Table, rule.IPProto, rule.Priority = int(familyOf(far[v6])), unix.RT_TABLE_MAIN, unix.IPPROTO_ESP, 100
	addr, _ := netlink.ParseAddr(addrA[v6].String() + map[bool]string{false: "/24", true: "/64"}[v6])
	addr.Flags = unix.IFA_F_NODAD
	link, _ := nl.LinkByName("nn0")
	list := map[string]testObstacle{
		"no route": {"", func() error { return nl.RouteDel(&netlink.Route{Dst: dst}) }, back},
		"blackhole": {"", func() error {
			return errors.Join(nl.RouteDel(&netlink.Route{Dst: dst}), route(netlink.Route{Type: unix.RTN_BLACKHOLE})())
		}, func() error {
			return errors.Join(nl.RouteDel(&netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE}), back())
		}},
		"rule":       {obstacleRule, func() error { return nl.RuleAdd(rule) }, func() error { return nl.RuleDel(rule) }},
		"no address": {"", func() error { return nl.AddrDel(link, addr) }, func() error { return errors.Join(nl.AddrAdd(link, addr), back()) }},
		"nobody there": {"", func() error {
			return p.a.Route(behind[v6], map[bool]string{false: "192.0.2.99", true: "2001:db8::99"}[v6], 0)
		}, back},
		"not received by": {"", func() error { return carry(p, false) }, func() error { return carry(p, true) }},
	}
	several := testObstacle{obstacleMany, route(netlink.Route{MultiPath: []*netlink.NexthopInfo{hop(viaNN0[v6]), hop(viaNN1[v6])}}), back}
	if v6 { // a second next hop joins the first one
		several.remove = func() error {
			return errors.Join(nl.RouteDel(&netlink.Route{Dst: dst, Gw: net.ParseIP(viaNN1[v6])}), back())
		}
	} else {
		list["gateway of IPv6"] = testObstacle{obstacleOther, route(netlink.Route{LinkIndex: link.Attrs().Index, Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: net.ParseIP("2001:db8::2")}}), back}
	}
	list["several next hops"] = several
	return list
}

// carry sets whether packets may pass by the IP stack at a's devices.
func carry(p *pair, on bool) error {
	h := p.netA.hops
	h.mu.Lock()
	h.carries = func(int) bool { return on }
	h.mu.Unlock()
	h.dropAll()
	return nil
}

// TestDevices: which devices take packets that pass by the IP stack.
func TestDevices(t *testing.T) {
	p := newDirectPair(t, 1)
	nl := p.a.Netlink()
	attrs := func(name string) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name = name
		return a
	}
	base := linkIndex(t, p, "nn0")
	vlan := attrs("vlan7")
	vlan.ParentIndex = base
	for _, tt := range []struct {
		link netlink.Link
		want error
	}{
		{&netlink.Vlan{LinkAttrs: vlan, VlanId: 7}, nil},
		{&netlink.Bridge{LinkAttrs: attrs("br7")}, nil},
		{netlink.NewLinkBond(attrs("bond7")), nil},
		{&netlink.Tuntap{LinkAttrs: attrs("tun7"), Mode: netlink.TUNTAP_MODE_TUN}, obstacleEthernet},
		{&netlink.Vrf{LinkAttrs: attrs("vrf7"), Table: 7}, obstacleVRF},
	} {
		if err := p.a.Do(func() error { return nl.LinkAdd(tt.link) }); err != nil { // a TUN device is made where the thread is
			t.Logf("%s: not on this host: %v", tt.link.Type(), err)
			continue
		}
		if err := nl.LinkSetUp(tt.link); err != nil {
			t.Fatal(err)
		}
		for _, v4 := range []bool{false, true} {
			f := first{link: linkIndex(t, p, tt.link.Attrs().Name)}
			if err := p.netA.hops.findDevice(&f, v4); !errors.Is(err, tt.want) || err == nil && (f.hops != 64 || f.from == [6]byte{} || f.mtu != 1500) {
				t.Errorf("%s: %+v, %v", tt.link.Type(), f, err)
			}
		}
		if tt.want != obstacleVRF {
			continue
		}
		veth, err := nl.LinkByIndex(base)
		if err == nil {
			err = nl.LinkSetMaster(veth, tt.link)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := p.netA.hops.findDevice(&first{link: base}, true); !errors.Is(err, obstacleVRF) {
			t.Errorf("a device in a VRF: %v", err)
		}
	}
	if err := p.a.SetLink("nn0", false); err != nil {
		t.Fatal(err)
	}
	h := p.netA.hops
	for link, want := range map[int]error{base: errDeviceIsDown, 999: unix.ENODEV} {
		f := first{link: link}
		if l, _ := h.kernel.link(link); l.vrf {
			continue
		}
		if err := h.findDevice(&f, true); !errors.Is(err, want) {
			t.Errorf("device %d: %v, want %v", link, err, want)
		}
	}
}

// TestDirectByStackedDevices: packets arrive over a VLAN device, a bond and a bridge.
func TestDirectByStackedDevices(t *testing.T) {
	p := newDirectPair(t, 1)
	for i, kind := range []string{"vlan", "bond", "bridge"} {
		t.Run(kind, func(t *testing.T) {
			if err := p.lab.Link(netlab.Iface{Host: p.a, Name: "under" + kind}, netlab.Iface{Host: p.b, Name: "under" + kind}, 1500); err != nil {
				t.Fatal(err)
			}
			from, to := netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), netip.AddrFrom4([4]byte{10, 0, byte(i), 2})
			for h, addr := range map[*netlab.Host]netip.Addr{p.a: from, p.b: to} {
				if err := stack(h, kind, addr); err != nil {
					t.Skipf("not on this host: %v", err)
				}
			}
			out := Outgoing{Data: espPacket(1000, 1400), Path: espPath(false, at(from, 0), at(to, 0))}
			mustGoDirect(t, p.netA, out)
			before := direct(p.netA) // notices about a device that comes up may still drop the way
			until(t, "what was sent past the IP stack", func() bool {
				empty(p.netB.Ports()[0])
				if err := sendOne(p.netA.Ports()[0], &out); err != nil {
					t.Fatal(err)
				}
				if in := recv(t, p.netB.Ports()[0], nil); in.Path.Remote().Addr() != from || !bytes.Equal(in.Data, out.Data) {
					t.Fatalf("%d octets came from %s", len(in.Data), in.Path.Remote())
				}
				return direct(p.netA) >= before+10
			})
		})
	}
}

// stack makes a device of a kind over another one, with an address.
func stack(h *netlab.Host, kind string, a netip.Addr) error {
	nl := h.Netlink()
	under, err := nl.LinkByName("under" + kind)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = kind + "8"
	var link netlink.Link
	switch kind {
	case "vlan":
		attrs.ParentIndex = under.Attrs().Index
		link = &netlink.Vlan{LinkAttrs: attrs, VlanId: 8}
	case "bond":
		bond := netlink.NewLinkBond(attrs)
		bond.Mode = netlink.BOND_MODE_ACTIVE_BACKUP
		link = bond
	default:
		link = &netlink.Bridge{LinkAttrs: attrs}
	}
	if err := nl.LinkAdd(link); err != nil {
		return err
	}
	if kind != "vlan" {
		if err := errors.Join(nl.LinkSetDown(under), nl.LinkSetMaster(under, link), nl.LinkSetUp(under)); err != nil {
			return err
		}
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(24, 32)}}
	return errors.Join(nl.AddrAdd(link, addr), nl.LinkSetUp(link))
}
