package netio

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
)

// A path whose second link is narrow:
//
//	a 192.0.2.1 -- 1500 -- 192.0.2.254 r 198.51.100.254 -- 1300 -- 198.51.100.1 b
//	  2001:db8::1                                                 2001:db8:b::1
func newPath(t *testing.T) (ends pathEnds, n *Net) {
	t.Helper()
	lab := netlab.Need(t)
	a, r, b := newHost(t, lab, "nn-a"), newHost(t, lab, "nn-r"), newHost(t, lab, "nn-b")
	for _, err := range []error{
		lab.Link(netlab.Iface{Host: a, Name: "nn0", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}},
			netlab.Iface{Host: r, Name: "nn1", Addrs: []string{"192.0.2.254/24", "2001:db8::fe/64"}}, 1500),
		lab.Link(netlab.Iface{Host: b, Name: "nn0", Addrs: []string{"198.51.100.1/24", "2001:db8:b::1/64"}},
			netlab.Iface{Host: r, Name: "nn2", Addrs: []string{"198.51.100.254/24", "2001:db8:b::fe/64"}}, 1300),
		a.Route("default", "192.0.2.254", 0), a.Route("default", "2001:db8::fe", 0),
		b.Route("default", "198.51.100.254", 0), b.Route("default", "2001:db8:b::fe", 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	waitUp(t, a)
	waitUp(t, b)
	return pathEnds{a, b}, openIn(t, a, Config{IKEPort: 500, NATPort: 4500, Mark: testMark, RawESP: true})
}

// pathEnds are the hosts at both ends of the path.
type pathEnds struct {
	*netlab.Host
	peer *netlab.Host
}

// An ICMP error of a router on the path is reported with its quote. The kernel, which believes it
// without looking at the SPI, does not act on it: larger packets still leave, with DF, and only the
// device's MTU bounds them.
func TestTooBigFromRouter(t *testing.T) {
	remote := map[bool]netip.Addr{false: netip.MustParseAddr("198.51.100.1"), true: netip.MustParseAddr("2001:db8:b::1")}
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		a, n := newPath(t)
		out := Outgoing{Data: espPacket(0xc0ffee01, 1400), Path: espPath(encap, at(addrA[v6], port), at(remote[v6], port))}
		tx := n.Ports()[0]
		want := TooBig{Path: out.Path, SPI: 0xc0ffee01, MTU: 1300}
		for i := range 3 {
			if err := sendOne(tx, &out); err != nil {
				t.Fatalf("send %d: %v", i, err)
			}
			select {
			case got := <-n.TooBig():
				if got != want {
					t.Errorf("send %d: told %+v, want %+v", i, got, want)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("send %d: nothing was told", i)
			}
			if err := a.Do(func() error {
				if m := n.LinkMTU(addrA[v6], remote[v6]); m != 1500 {
					t.Errorf("send %d: LinkMTU = %d, want 1500", i, m)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		mustBeDry(t, tx, make([]byte, 2000)) // the error is not a datagram
		if poll(tx, 0) {
			t.Error("the error is still there to be polled: a worker would spin")
		}
		if got := n.Counters()["net_icmp_too_big"]; got != 3 {
			t.Errorf("net_icmp_too_big = %d, want 3", got)
		}
	})
}

// Fragmentable datagrams pass the narrow link: over IPv4 the router fragments them, over IPv6 the
// kernel after the router's error.
func TestFragmentsPassNarrowPath(t *testing.T) {
	remote := map[bool]netip.Addr{false: netip.MustParseAddr("198.51.100.1"), true: netip.MustParseAddr("2001:db8:b::1")}
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		a, n := newPath(t)
		b := openIn(t, a.peer, Config{IKEPort: 500, NATPort: 4500, RawESP: true})
		out := Outgoing{Data: espPacket(0xc0ffee01, 1400), Path: espPath(encap, at(addrA[v6], port), at(remote[v6], port)), Fragment: true}
		if err := sendOne(n.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		if v6 {
			select {
			case <-n.TooBig():
			case <-time.After(5 * time.Second):
				t.Fatal("the router told nothing")
			}
			if err := sendOne(n.Ports()[0], &out); err != nil {
				t.Fatal(err)
			}
		}
		if in := recv(t, b.Ports()[0], make([]byte, 65535)); len(in.Data) != 1400 {
			t.Errorf("%d octets arrived", len(in.Data))
		}
	})
}

// A source that this host lacks or lost has an error of its own, for ESP and for IKE; HasAddr tells
// the host's addresses from others.
func TestSourceIsGone(t *testing.T) {
	p := newPair(t, 1)
	gone := map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.99"), true: netip.MustParseAddr("2001:db8::99")}
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		out := Outgoing{Data: espPacket(0xc0ffee01, 100), Path: espPath(encap, at(gone[v6], port), at(addrB[v6], port))}
		if err := sendOne(p.netA.Ports()[0], &out); !errors.Is(err, ErrNoRoute) || Obstacle(err) != ipsec.ObstacleRoute {
			t.Errorf("Send = %v, want ErrNoRoute", err)
		}
		if err := p.netA.SendIKE(ikePath(encap, at(gone[v6], 500), at(addrB[v6], 500)), []byte("x")); !errors.Is(err, ErrNoRoute) || Obstacle(err) != ipsec.ObstacleRoute {
			t.Errorf("SendIKE = %v, want ErrNoRoute", err)
		}
		out = Outgoing{Data: espPacket(0xc0ffee01, 1600), Path: espPath(encap, at(addrA[v6], port), at(addrB[v6], port))}
		if err := sendOne(p.netA.Ports()[0], &out); err == nil || errors.Is(err, ErrNoRoute) || Obstacle(err) != ipsec.NoObstacle {
			t.Errorf("Send of what is too big = %v", err)
		}
	})
	only := openIn(t, p.b, Config{Listen: []netip.Addr{addrB[false]}, IKEPort: 1500, NATPort: 14500})
	for _, tt := range []struct {
		host *netlab.Host
		net  *Net
		addr netip.Addr
		want bool
	}{
		{p.a, p.netA, addrA[false], true}, {p.a, p.netA, addrA[true], true}, {p.a, p.netA, addrA2[false], true},
		{p.a, p.netA, gone[false], false}, {p.a, p.netA, gone[true], false}, {p.a, p.netA, netip.Addr{}, false},
		{p.b, only, addrB[false], true}, {p.b, only, addrB2[false], false}, {p.b, only, addrB[true], false},
	} {
		_ = tt.host.Do(func() error {
			if got := tt.net.HasAddr(tt.addr); got != tt.want {
				t.Errorf("%s: HasAddr(%s) = %t, want %t", tt.host.Name, tt.addr, got, tt.want)
			}
			return nil
		})
	}
}

// Every packet carries the mark; without it, it would go into the tunnel that it carries.
func TestEverythingIsMarked(t *testing.T) {
	p := newPair(t, 1)
	nl := p.a.Netlink()
	rule := netlink.NewRule()
	rule.Mark, rule.Table, rule.Family = testMark, 77, netlink.FAMILY_V4
	link, err := nl.LinkByName("nn0")
	if err == nil {
		err = nl.RuleAdd(rule)
	}
	if err != nil {
		t.Fatal(err)
	}
	far, err := netlink.ParseIPNet("203.0.113.0/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := nl.RouteAdd(&netlink.Route{Dst: far, LinkIndex: link.Attrs().Index, Table: 77}); err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddr("203.0.113.1") // only a marked packet has a route
	for name, send := range map[string]func() error{
		"UDP": func() error {
			return sendOne(p.netA.Ports()[0], &Outgoing{Data: espPacket(1000, 99), Path: espPath(true, netip.AddrPort{}, at(to, 4500))})
		},
		"raw": func() error {
			return sendOne(p.netA.Ports()[0], &Outgoing{Data: espPacket(1000, 99), Path: espPath(false, netip.AddrPort{}, at(to, 0))})
		},
		"IKE":       func() error { return p.netA.SendIKE(ikePath(false, netip.AddrPort{}, at(to, 500)), []byte("x")) },
		"IKE 4500":  func() error { return p.netA.SendIKE(ikePath(true, netip.AddrPort{}, at(to, 4500)), []byte("x")) },
		"keepalive": func() error { return p.netA.SendKeepalive(ipsec.NATPath(netip.AddrPort{}, at(to, 4500))) },
		"probe":     func() error { _, err := p.netA.LocalAddr(to); return err },
		"dialer": func() error {
			c, err := Dialer(testMark).DialContext(context.Background(), "udp", at(to, 53).String())
			if err == nil {
				c.Close()
			}
			return err
		},
	} {
		if err := p.a.Do(send); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.a.Do(func() error { _, err := Dialer(0).Dial("udp", at(to, 53).String()); return err }); err == nil {
		t.Error("an unmarked packet has a route too: the test shows nothing")
	}
}
