package tun

import (
	"slices"
	"strings"
	"testing"

	"culvert/internal/netlab"
	"culvert/tun/protect"
)

// testMark differs from the default, which thus cannot make a test pass by chance.
var testMark = protect.Mark{Value: 0x4300, Mask: 0xff00}

const testTable = 50000 // above the priority of the main table's rule, to show that the two are independent

// A gateway between its LAN (10.1.0.0/16, 2001:db8:1::/64) and the outside (192.0.2.0/24,
// 2001:db8:f::/64), with default routes.
//
//	LAN -- tlan 10.1.0.1 [ gateway ] tout 192.0.2.1 -- .254 -> world
func newGateway(t *testing.T) (*netlab.Host, *Device) {
	t.Helper()
	h := newHost(t)
	for _, err := range []error{
		h.LAN("tlan", "10.1.0.1/16", "2001:db8:1::1/64"),
		h.LAN("tout", "192.0.2.1/24", "2001:db8:f::1/64"),
		h.SetLink("tlanx", true), h.SetLink("toutx", true), // both ends, for a carrier
		h.Route("default", "192.0.2.254", 0),
		h.Route("default", "2001:db8:f::fe", 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return h, openIn(t, h, Config{Name: "tn0", MTU: 1400})
}

type routeCase struct {
	name     string
	l        lookup
	dev, src string // src "": any
}

func checkRoutes(t *testing.T, h *netlab.Host, cases []routeCase) {
	t.Helper()
	for _, c := range cases {
		dev, src, _ := route(t, h, c.l)
		if dev != c.dev || c.src != "" && src != c.src {
			t.Errorf("%s: %+v goes by %s from %s, want %s from %s", c.name, c.l, dev, src, c.dev, c.src)
		}
	}
}

func TestOneRemoteNetwork(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Table: testTable})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"), policy("2001:db8:2::/64", "2001:db8:1::/64"))
	checkRoutes(t, h, []routeCase{
		{"from the LAN", lookup{to: "10.2.0.9", from: "10.1.0.50", iif: "tlan"}, "tn0", ""},
		{"from our LAN address", lookup{to: "10.2.0.9", from: "10.1.0.1"}, "tn0", ""},
		{"no source yet", lookup{to: "10.2.0.9"}, "tn0", "10.1.0.1"},
		{"from our outer address: not protected", lookup{to: "10.2.0.9", from: "192.0.2.1"}, "tout", ""},
		{"marked", lookup{to: "10.2.0.9", from: "10.1.0.1", mark: testMark.Value | 0x11}, "tout", ""},
		{"elsewhere", lookup{to: "198.51.100.1", from: "10.1.0.50", iif: "tlan"}, "tout", ""},
		{"IPv6 from the LAN", lookup{to: "2001:db8:2::9", from: "2001:db8:1::50", iif: "tlan"}, "tn0", ""},
		{"IPv6, no source yet", lookup{to: "2001:db8:2::9"}, "tn0", "2001:db8:1::1"},
		{"IPv6 from our outer address", lookup{to: "2001:db8:2::9", from: "2001:db8:f::1"}, "tout", ""},
		{"IPv6 marked", lookup{to: "2001:db8:2::9", mark: testMark.Value | 0x11}, "tout", "2001:db8:f::1"},
	})
}

// A remote network that contains everything, and so the peer: the tunnel takes neither its own
// packets nor the host's other traffic.
func TestWholeInternet(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Table: testTable})
	r.mustBecome(policy("0.0.0.0/0", "10.1.0.0/16"), policy("::/0", "2001:db8:1::/64"))
	cases := []routeCase{
		{"LAN to the world", lookup{to: "198.51.100.1", from: "10.1.0.50", iif: "tlan"}, "tn0", ""},
		{"ourselves to the world", lookup{to: "198.51.100.1"}, "tn0", "10.1.0.1"},
		{"LAN to the peer's outer address", lookup{to: "203.0.113.2", from: "10.1.0.50", iif: "tlan"}, "tn0", ""},
		{"the tunnel's packets to the peer", lookup{to: "203.0.113.2", from: "192.0.2.1", mark: testMark.Value | 0x11}, "tout", ""},
		{"the tunnel's packets, no source yet", lookup{to: "203.0.113.2", mark: testMark.Value | 0x11}, "tout", "192.0.2.1"},
		{"ssh replies from the outer address", lookup{to: "198.51.100.1", from: "192.0.2.1"}, "tout", ""},
		{"LAN to LAN", lookup{to: "10.1.3.3", from: "10.1.0.50", iif: "tlan"}, "tlan", ""},
		{"ourselves to the LAN", lookup{to: "10.1.3.3"}, "tlan", "10.1.0.1"},
		{"to our own outer address", lookup{to: "192.0.2.1", from: "10.1.0.1"}, "lo", ""},
		{"link-local", lookup{to: "169.254.7.7", from: "10.1.0.1"}, "tout", ""},
		{"IPv6 LAN to the world", lookup{to: "2001:db8:77::1", from: "2001:db8:1::50", iif: "tlan"}, "tn0", ""},
		{"IPv6 ourselves to the world", lookup{to: "2001:db8:77::1"}, "tn0", "2001:db8:1::1"},
		{"IPv6 replies from the outer address", lookup{to: "2001:db8:77::1", from: "2001:db8:f::1"}, "tout", ""},
		{"IPv6 the tunnel's packets", lookup{to: "2001:db8:77::1", mark: testMark.Value | 0x11}, "tout", "2001:db8:f::1"},
		{"IPv6 ourselves to the LAN", lookup{to: "2001:db8:1::3"}, "tlan", "2001:db8:1::1"},
	}
	checkRoutes(t, h, cases)
	// TunnelCrack: routes that an attacker adds to the main table have no effect, also for the
	// addresses in use.
	for dst, via := range map[string]string{"198.51.100.0/24": "192.0.2.66", "198.51.100.1/32": "192.0.2.66", "2001:db8:77::/64": "2001:db8:f::66"} {
		if err := h.Route(dst, via, 0); err != nil {
			t.Fatal(err)
		}
	}
	checkRoutes(t, h, cases)
}

// A local network that also contains the outer address.
func TestLocalHoldsEverything(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Table: testTable})
	r.mustBecome(policy("203.0.113.0/24", "0.0.0.0/0"))
	checkRoutes(t, h, []routeCase{
		{"our traffic to the remote network", lookup{to: "203.0.113.9", from: "192.0.2.1"}, "tn0", ""},
		{"the tunnel's packets to the peer in it", lookup{to: "203.0.113.2", from: "192.0.2.1", mark: testMark.Value | 0x11}, "tout", ""},
		{"everything else", lookup{to: "198.51.100.1", from: "192.0.2.1"}, "tout", ""},
		{"the LAN", lookup{to: "10.1.3.3", from: "192.0.2.1"}, "tlan", ""},
	})
	// Host to host: the remote network is the peer's outer address alone.
	r.mustBecome(policy("203.0.113.2/32", "192.0.2.1/32"), policy("2001:db8:99::2/128", "2001:db8:f::1/128"))
	checkRoutes(t, h, []routeCase{
		{"inner", lookup{to: "203.0.113.2"}, "tn0", "192.0.2.1"},
		{"outer", lookup{to: "203.0.113.2", from: "192.0.2.1", mark: testMark.Value | 0x11}, "tout", ""},
		{"IPv6 inner", lookup{to: "2001:db8:99::2"}, "tn0", "2001:db8:f::1"},
		{"IPv6 outer", lookup{to: "2001:db8:99::2", from: "2001:db8:f::1", mark: testMark.Value | 0x11}, "tout", ""},
	})
}

// Without an own address in the local network, this host's own traffic does not use the tunnel.
func TestGatewayWithoutInnerAddress(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Table: testTable})
	r.mustBecome(policy("0.0.0.0/0", "10.9.0.0/16"), policy("::/0", "2001:db8:9::/64"))
	checkRoutes(t, h, []routeCase{
		{"behind us", lookup{to: "198.51.100.1", from: "10.9.0.5", iif: "tlan"}, "tn0", ""},
		{"ourselves", lookup{to: "198.51.100.1"}, "tout", "192.0.2.1"},
		{"IPv6 ourselves", lookup{to: "2001:db8:77::1"}, "tout", "2001:db8:f::1"},
	})
}

// After an ordered end the fences stay if they should, and nothing else.
func TestCloseKeepsFences(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Fence: true})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"), policy("2001:db8:2::/64", "2001:db8:1::/64"))
	if err := r.Close(true); err != nil {
		t.Fatal(err)
	}
	d.Close()
	checkRoutes(t, h, []routeCase{
		{"protected", lookup{to: "10.2.0.9", from: "10.1.0.50", iif: "tlan"}, "none", ""},
		{"protected, no source yet", lookup{to: "10.2.0.9"}, "none", ""},
		{"IPv6", lookup{to: "2001:db8:2::9", from: "2001:db8:1::50", iif: "tlan"}, "none", ""},
		{"not protected", lookup{to: "10.3.0.9", from: "10.1.0.50", iif: "tlan"}, "tout", ""},
	})
	var released []string
	if err := h.Do(func() (err error) { released, err = Release(); return err }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"10.2.0.0/16", "2001:db8:2::/64"}; !slices.Equal(released, want) {
		t.Errorf("released %v, want %v", released, want)
	}
	if got := ours(t, h); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestRouterNeedsAMark(t *testing.T) {
	h, d := newGateway(t)
	err := h.Do(func() error { _, err := NewRouter(RouteConfig{Device: d}); return err })
	if err == nil || !strings.Contains(err.Error(), "mark") {
		t.Errorf("without a mark: %v", err)
	}
}

func TestFollowsAddressesAndLink(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Table: testTable})
	r.mustBecome(policy("10.2.0.0/16", "10.7.0.0/16"), policy("2001:db8:2::/64", "2001:db8:7::/64"))
	checkRoutes(t, h, []routeCase{{"no inner address yet", lookup{to: "10.2.0.9"}, "tout", ""}})
	if err := h.LAN("tnew", "10.7.0.1/16", "2001:db8:7::1/64"); err != nil {
		t.Fatal(err)
	}
	via := func(to, dev string) func() bool {
		return func() bool { got, _, _ := route(t, h, lookup{to: to}); return got == dev }
	}
	eventually(t, "the new address becomes the source", via("10.2.0.9", "tn0"))
	eventually(t, "the new IPv6 address becomes the source", via("2001:db8:2::9", "tn0"))
	for _, up := range []bool{false, true} {
		if err := h.SetLink("tn0", up); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the routes come back with the device", via("10.2.0.9", "tn0"))
	eventually(t, "the IPv6 routes come back with the device", via("2001:db8:2::9", "tn0"))
	link, err := h.Netlink().LinkByName("tnew")
	if err == nil {
		err = h.Netlink().LinkDel(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "our own traffic leaves the tunnel with the address", via("10.2.0.9", "tout"))
	eventually(t, "our own IPv6 traffic leaves the tunnel with the address", via("2001:db8:2::9", "tout"))
	checkRoutes(t, h, []routeCase{{"the network behind us stays in", lookup{to: "10.2.0.9", from: "10.7.0.9", iif: "tlan"}, "tn0", ""}})
}
