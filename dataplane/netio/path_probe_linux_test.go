package netio

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestSourceOfARoute: each question is one of its own, whatever the last answer was, and leaves
// nothing at which packets could arrive.
func TestSourceOfARoute(t *testing.T) {
	p := newPair(t, 1)
	nl, device := p.a.Netlink(), linkIndex(t, p, "nn0")
	want := func(v6 bool, addr netip.Addr) {
		t.Helper()
		if got, err := p.netA.LocalAddr(addrB[v6]); err != nil || got != addr {
			t.Errorf("LocalAddr(%s) = %s, %v, want %s", addrB[v6], got, err, addr)
		}
		sa, err := unix.Getsockname(p.netA.links.probes[map[bool]int{false: 0, true: 1}[v6]])
		if err != nil || portOf(sa) != 0 {
			t.Errorf("the socket is still at port %d, %v", portOf(sa), err)
		}
	}
	for _, v6 := range []bool{false, true} {
		far, err := addrB[v6].Prefix(addrB[v6].BitLen())
		if err != nil {
			t.Fatal(err)
		}
		dst, err := netlink.ParseIPNet(far.String())
		if err != nil {
			t.Fatal(err)
		}
		route := &netlink.Route{LinkIndex: device, Dst: dst, Src: addrA2[v6].AsSlice()}
		if err := nl.RouteAdd(route); err != nil {
			t.Fatal(err)
		}
		want(v6, addrA2[v6])
		if err := nl.RouteDel(route); err != nil {
			t.Fatal(err)
		}
		if v6 {
			want(false, addrA[false])
			continue // which of two addresses of IPv6 it chooses without the route is the kernel's affair
		}
		want(v6, addrA[v6])
		want(v6, addrA[v6])
	}
	if _, err := p.netA.LocalAddr(netip.MustParseAddr("203.0.113.1")); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("of no route: %v", err)
	}
	want(false, addrA[false])
}

// TestDevice: names and MTUs of devices, and none of a device that is not there.
func TestDevice(t *testing.T) {
	p := newPair(t, 1)
	link, err := p.a.Netlink().LinkByName("nn0")
	if err != nil {
		t.Fatal(err)
	}
	index := link.Attrs().Index
	for _, mtu := range []int{1500, 1400} {
		if err := p.a.Netlink().LinkSetMTU(link, mtu); err != nil {
			t.Fatal(err)
		}
		if name, got, err := p.netA.links.device(index); err != nil || name != "nn0" || got != mtu {
			t.Errorf("device %d is %q with MTU %d, %v, want %d", index, name, got, err, mtu)
		}
		if got := p.netA.LinkMTU(addrA[false], addrB[false]); got != mtu {
			t.Errorf("LinkMTU = %d, want %d", got, mtu)
		}
	}
	if _, _, err := p.netA.links.device(9999); !errors.Is(err, unix.ENODEV) {
		t.Errorf("of no device: %v", err)
	}
	p.netA.Close()
	if _, _, err := p.netA.links.device(index); err == nil {
		t.Error("it is asked after Close")
	}
	if _, err := p.netA.LocalAddr(addrB[false]); err == nil {
		t.Error("LocalAddr answers after Close")
	}
}

// BenchmarkFirstHop asks the two questions of a new path.
func BenchmarkFirstHop(b *testing.B) {
	p := newPair(b, 1)
	for _, v6 := range []bool{false, true} {
		name := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
		b.Run("LinkMTU/"+name, func(b *testing.B) {
			for b.Loop() {
				if p.netA.LinkMTU(addrA[v6], addrB[v6]) != 1500 {
					b.Fatal("another MTU")
				}
			}
		})
		b.Run("LocalAddr/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.netA.LocalAddr(addrB[v6]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
