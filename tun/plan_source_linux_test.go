package tun

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// A packet without a source follows the group with the longest local network that has an address of
// this host, and of two groups the one that protects.
func TestPacketsWithoutASource(t *testing.T) {
	for _, tt := range []struct {
		name     string
		nets     []protect.Policy
		host     []string
		to, want string
	}{
		{"the only group", []protect.Policy{policy("10.9.0.0/16", "10.1.0.0/16")}, []string{"10.1.0.1"}, "10.9.0.5", "tun 10.1.0.1"},
		{"no address in it", []protect.Policy{policy("10.9.0.0/16", "10.1.0.0/16")}, []string{"192.0.2.1"}, "10.9.0.5", "main"},
		{"the longest", []protect.Policy{policy("10.9.0.0/16", "10.0.0.0/8"), policy("10.9.0.0/16", "10.1.0.0/16")}, []string{"10.1.0.1", "10.2.0.1"}, "10.9.0.5", "tun 10.1.0.1"},
		{"the longest without an address", []protect.Policy{policy("10.9.0.0/16", "10.0.0.0/8"), policy("10.9.0.0/16", "10.1.0.0/16")}, []string{"10.2.0.1"}, "10.9.0.5", "tun 10.2.0.1"},
		{"of equal ones the first address", []protect.Policy{policy("10.9.0.0/16", "10.1.0.0/16"), policy("10.9.0.0/16", "10.2.0.0/16")}, []string{"10.1.0.1", "10.2.0.1"}, "10.9.0.5", "tun 10.1.0.1"},
		{"one protects what is local to another", []protect.Policy{policy("10.9.0.0/16", "10.0.0.0/8"), policy("10.0.0.0/8", "192.0.2.1/32")}, []string{"10.1.0.1", "192.0.2.1"}, "10.7.0.5", "tun 192.0.2.1"},
	} {
		var list []netip.Addr
		for _, a := range tt.host {
			list = append(list, netip.MustParseAddr(a))
		}
		slices.SortFunc(list, compareAddrs)
		if got := planOf(tt.nets, list).leads("", tt.to); got != tt.want {
			t.Errorf("%s: it goes to %s, want %s", tt.name, got, tt.want)
		}
	}
}

// An address that comes or goes changes only the routes that prefer it.
func TestSourceComesAndGoes(t *testing.T) {
	p := planOf([]protect.Policy{policy("10.9.0.0/16", "10.1.0.0/16"), policy("10.8.0.0/16", "10.2.0.0/16")}, addrs("10.2.0.1"))
	one, two := netip.MustParsePrefix("10.1.0.1/32"), netip.MustParsePrefix("10.2.0.1/32")
	for _, tt := range []struct {
		name    string
		hosts   []netip.Prefix
		changes bool
		want    string
	}{
		{"comes", []netip.Prefix{one, two}, true, "tun 10.1.0.1"},
		{"stays", []netip.Prefix{two, one}, false, "tun 10.1.0.1"},
		{"goes", []netip.Prefix{two}, true, "main"},
	} {
		e := p.setAddrs(tt.hosts)
		if got := p.leads("", "10.9.0.5"); got != tt.want {
			t.Errorf("%s: a packet goes to %s, want %s", tt.name, got, tt.want)
		}
		if got := p.leads("", "10.8.0.5"); got != "tun 10.2.0.1" {
			t.Errorf("%s: the other group's goes to %s", tt.name, got)
		}
		if changed := e.routes[dest{0, netip.MustParsePrefix("10.9.0.0/16")}]; changed != tt.changes || e.routes[dest{0, netip.MustParsePrefix("10.8.0.0/16")}] {
			t.Errorf("%s: the routes %v change", tt.name, e.routes)
		}
	}
	p.setAddrs([]netip.Prefix{one, two})
	e := edit{make(map[rule]bool), make(map[dest]bool)}
	p.restore(e, two.Addr())
	if len(e.routes) == 0 || e.routes[dest{0, netip.MustParsePrefix("10.9.0.0/16")}] || !e.routes[dest{0, netip.MustParsePrefix("10.8.0.0/16")}] {
		t.Errorf("the routes %v are restored for %v", e.routes, two)
	}
}

// The kernel removes the routes of a source that goes, without notices of each. They are restored
// when it comes back.
func TestAddressGoesAndComesBack(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d})
	r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"), policy("2001:db8:2::/64", "2001:db8:1::/64"))
	want := ours(t, h)
	link, err := h.Netlink().LinkByName("tlan")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"10.1.0.1/16", "2001:db8:1::1/64"} {
		a, _ := netlink.ParseAddr(s)
		a.Flags |= unix.IFA_F_NODAD
		for range 10 { // with and without a pause between
			for _, err := range []error{h.Netlink().AddrDel(link, a), h.Netlink().AddrAdd(link, a)} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		eventually(t, "the routes that prefer "+s+" are back", func() bool { return slices.Equal(ours(t, h), want) })
	}
	if rules, routes := r.compareNow(); rules != 0 || routes != 0 {
		t.Errorf("comparing mended %d rules and %d routes", rules, routes)
	}
}
