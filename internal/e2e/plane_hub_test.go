//go:build linux

package e2e

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// star is three gateways around a router, on whose side leaks are counted:
//
//	[hub] wan 192.0.2.1 2001:db8:1::1 ---- [net] ---- wan 198.51.100.2 2001:db8:2::2 [a]
//	                                       [net] ---- wan 203.0.113.3 2001:db8:3::3 [b]
type star struct {
	lab            *netlab.Lab
	net, hub, a, b *netlab.Host
	leaks          *leakCounter
}

// Outer addresses of the gateways in a star.
const hubWAN, aWAN, bWAN = "192.0.2.1", "198.51.100.2", "203.0.113.3"

// The outer addresses of the spokes.
var wans4, wans6 = [2]string{aWAN, bWAN}, [2]string{"2001:db8:2::2", "2001:db8:3::3"}

func buildStar(t *testing.T, flows []flow) *star {
	t.Helper()
	lab := netlab.Need(t)
	s := &star{lab: lab, leaks: &leakCounter{flows: flows}}
	var err error
	s.net, err = lab.Host("net")
	ok(t, err)
	for _, g := range []struct {
		host            **netlab.Host
		name, wan, wan6 string
	}{{&s.hub, "hub", hubWAN, "2001:db8:1::1"}, {&s.a, "a", aWAN, wans6[0]}, {&s.b, "b", bWAN, wans6[1]}} {
		*g.host, err = lab.Host(g.name)
		ok(t, err)
		router, router6 := g.wan[:strings.LastIndex(g.wan, ".")]+".254", g.wan6[:strings.LastIndex(g.wan6, ":")]+":ff"
		ok(t, lab.Link(netlab.Iface{Host: *g.host, Name: "wan", Addrs: []string{g.wan + "/24", g.wan6 + "/64"}},
			netlab.Iface{Host: s.net, Name: g.name, Addrs: []string{router + "/24", router6 + "/64"}}, 1500),
			(*g.host).Route("default", router, 0), (*g.host).Route("default", router6, 0))
		s.leaks.watch(t, s.net, g.name)
	}
	t.Cleanup(func() { s.leaks.wantNone(t, "at the end") })
	return s
}

// tunnel returns the text of a peer of the hub, and of the hub as that peer's peer.
func (s *star) tunnel(name, wan string, children ...[2][]string) (atHub, atSpoke string) {
	var hub, spoke []string
	for i, c := range children {
		child := string(rune('a'+i)) + "-lan"
		hub = append(hub, networksText(child, c[0], c[1], boot))
		spoke = append(spoke, networksText(child, c[1], c[0], ""))
	}
	return peerText(name, "remote = \""+wan+"\"\n"+identities("hub", name), hub...), peerText("hub", identities(name, "hub"), spoke...)
}

// start starts the three daemons and waits for the tunnels.
func (s *star) start(t *testing.T, toA, toB [][2][]string) (hub, a, b *gateway) {
	t.Helper()
	hub, a, b = newGateway(t, s.hub), newGateway(t, s.a), newGateway(t, s.b)
	hubA, atA := s.tunnel("a", aWAN, toA...)
	hubB, atB := s.tunnel("b", bWAN, toB...)
	a.start(atA)
	b.start(atB)
	hub.start(hubA, hubB)
	hub.waitUp("a")
	hub.waitUp("b")
	return hub, a, b
}

// TestPoliciesOfOtherPeersTakeNothingAway has two peers whose local networks lie in each other's
// remote ones: each flow follows the policy that it matches.
func TestPoliciesOfOtherPeersTakeNothingAway(t *testing.T) {
	t.Parallel()
	s := buildStar(t, []flow{flowOf("192.168.7.0/24", "0.0.0.0/0"), flowOf("172.16.0.0/12", "0.0.0.0/0"), flowOf("10.2.0.0/16", "0.0.0.0/0"), flowOf("fd00::/8", "::/0")})
	ok(t, s.hub.LAN("lan", "192.168.7.1/24", "fd07::1/64"), s.a.LAN("lan", "10.2.5.9/16", "fd02:5::9/32"), s.b.LAN("lan", "172.16.0.9/12", "fd16::9/32"))
	hub, a, b := s.start(t,
		[][2][]string{{{"192.168.7.0/24", "172.16.0.0/12"}, {"10.2.0.0/16"}}, {{"fd07::/64", "fd16::/32"}, {"fd02::/16"}}},
		[][2][]string{{{"10.2.5.0/24"}, {"172.16.0.0/12"}}, {{"fd02:5::/64"}, {"fd16::/32"}}})
	for _, p := range [][2]string{{"192.168.7.1", "10.2.5.9"}, {"fd07::1", "fd02:5::9"}} {
		wantPing(t, s.hub, addr(p[0]), addr(p[1]))
		wantPing(t, s.a, addr(p[1]), addr(p[0]))
	}
	for _, p := range [][2]string{{"172.16.0.9", "10.2.5.9"}, {"fd16::9", "fd02:5::9"}} { // in by b's, out by a's
		wantPing(t, s.b, addr(p[0]), addr(p[1]))
		wantPing(t, s.a, addr(p[1]), addr(p[0]))
	}
	for _, g := range []*gateway{hub, a, b} {
		g.stop()
	}
}

// TestHubMakesNoRedirects has a hub between two spokes, without an address in their networks: when
// it forwards a packet by the device of its arrival, the kernel sends no ICMP redirect.
func TestHubMakesNoRedirects(t *testing.T) {
	t.Parallel()
	s := buildStar(t, []flow{flowOf("10.2.0.0/16", "0.0.0.0/0"), flowOf("10.3.0.0/16", "0.0.0.0/0"), flowOf("fd00::/8", "::/0")})
	for _, dev := range []string{"all", "default", "wan"} {
		ok(t, s.hub.Sysctl("ipv4/conf/"+dev+"/send_redirects", "1"))
	}
	ok(t, s.a.LAN("lan", "10.2.0.1/24", "fd02::1/64"), s.b.LAN("lan", "10.3.0.1/24", "fd03::1/64"))
	hub, a, b := s.start(t,
		[][2][]string{{{"10.3.0.0/24"}, {"10.2.0.0/24"}}, {{"fd03::/64"}, {"fd02::/64"}}},
		[][2][]string{{{"10.2.0.0/24"}, {"10.3.0.0/24"}}, {{"fd02::/64"}, {"fd03::/64"}}})
	before := hub.status().Guard.Drops.ICMP
	for _, p := range [][2]netip.Addr{{addr("10.2.0.1"), addr("10.3.0.1")}, {addr("fd02::1"), addr("fd03::1")}} {
		wantPing(t, s.a, p[0], p[1])
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := s.a.Ping(ctx, p[0], p[1], 600)
			cancel()
			ok(t, err)
		}
		s.leaks.wantNone(t, p[0].String())
	}
	if drops := hub.status().Guard.Drops.ICMP - before; drops > 0 {
		t.Errorf("the guard dropped %d redirects: the kernel makes them", drops)
	}
	for _, g := range []*gateway{hub, a, b} {
		g.stop()
	}
}

// TestErrorsAboutDecryptedPacketsGoBack has a gateway without an address in its local networks,
// which are behind an inner router: its ICMP errors about decrypted packets return through the SA.
func TestErrorsAboutDecryptedPacketsGoBack(t *testing.T) {
	t.Parallel()
	s := buildStar(t, []flow{flowOf("10.7.0.0/16", "0.0.0.0/0"), flowOf("10.2.0.0/16", "0.0.0.0/0"), flowOf("fd00::/8", "::/0")})
	// Here b is the inner router.
	const inside, inside6 = "10.7.0.1", "fd07::1"
	ok(t, s.a.LAN("lan", "10.2.0.1/24", "fd02::1/64"))
	s.innerRouter(t, inside, inside6)
	hub, a := newGateway(t, s.hub), newGateway(t, s.a)
	atHub, atA := s.tunnel("a", aWAN, [2][]string{{"10.7.0.0/24"}, {"10.2.0.0/24"}}, [2][]string{{"fd07::/64"}, {"fd02::/64"}})
	a.start(atA)
	hub.start(atHub)
	hub.waitUp("a")
	for _, p := range []struct {
		src, dst         netip.Addr
		exceeded, tooBig netlab.Answer
	}{
		{addr("10.2.0.1"), addr(inside), netlab.Answer{Type: 11}, netlab.Answer{Type: 3, Code: 4, MTU: 1000}},
		{addr("fd02::1"), addr(inside6), netlab.Answer{Type: 3}, netlab.Answer{Type: 2, MTU: 1290}},
	} {
		wantPing(t, s.a, p.src, p.dst)
		for _, tt := range []struct {
			probe netlab.Probe
			want  netlab.Answer
		}{{netlab.Probe{Src: p.src, Dst: p.dst, Size: 100, TTL: 1}, p.exceeded}, {netlab.Probe{Src: p.src, Dst: p.dst, Size: 1300}, p.tooBig}} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			got, err := s.a.Probe(ctx, tt.probe)
			cancel()
			if got.From = (netip.Addr{}); err != nil || got != tt.want {
				t.Errorf("%+v: got %+v, %v, want %+v", tt.probe, got, err, tt.want)
			}
			s.leaks.wantNone(t, p.dst.String())
		}
	}
	hub.stop()
	a.stop()
}

// innerRouter makes b a router behind the hub, over a path with a small MTU, with addresses in the
// networks that the hub only routes.
func (s *star) innerRouter(t *testing.T, inside, inside6 string) {
	t.Helper()
	ok(t, s.b.LAN("lan", inside+"/24", inside6+"/64"), s.lab.Link(
		netlab.Iface{Host: s.hub, Name: "inner", Addrs: []string{"172.30.0.1/24", "2001:db8:30::1/64"}},
		netlab.Iface{Host: s.b, Name: "outer", Addrs: []string{"172.30.0.2/24", "2001:db8:30::2/64"}}, 1500),
		s.hub.Route("10.7.0.0/24", "172.30.0.2", 1000), s.hub.Route("fd07::/64", "2001:db8:30::2", 1290),
		s.b.Route("10.2.0.0/24", "172.30.0.1", 0), s.b.Route("fd02::/64", "2001:db8:30::1", 0))
}

// TestPeerInsideAnotherPeersNetwork has one peer's address in the remote network of another: its
// IKE leaves from the outer address, outside of any tunnel, and both tunnels work.
func TestPeerInsideAnotherPeersNetwork(t *testing.T) {
	t.Parallel()
	s := buildStar(t, []flow{flowOf("10.1.0.0/24", "10.3.0.0/24"), flowOf("10.1.0.1/32", bWAN+"/32"), flowOf("fd01::/64", "fd03::/64")})
	ok(t, s.hub.LAN("lan", "10.1.0.1/24", "fd01::1/64"), s.b.LAN("lan", "10.3.0.1/24", "fd03::1/64"))
	hub, a, b := s.start(t,
		[][2][]string{{{"10.1.0.0/24"}, {"203.0.113.0/24"}}},
		[][2][]string{{{"10.1.0.0/24"}, {"10.3.0.0/24"}}, {{"fd01::/64"}, {"fd03::/64"}}})
	wantPing(t, s.hub, addr("10.1.0.1"), addr("10.3.0.1"))
	wantPing(t, s.b, addr("fd03::1"), addr("fd01::1"))
	hub.do("down", "b")
	hub.do("up", "b") // from where the routes of both stand
	wantPing(t, s.hub, addr("10.1.0.1"), addr("10.3.0.1"))
	for _, g := range []*gateway{hub, a, b} {
		g.stop()
	}
}
