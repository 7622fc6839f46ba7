package netio

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
)

func TestCanRing(t *testing.T) {
	good := netlink.LinkAttrs{EncapType: "ether", MTU: 1500}
	if !canRing(&good) {
		t.Error("not at an Ethernet device")
	}
	for name, change := range map[string]func(*netlink.LinkAttrs){
		"without Ethernet headers":   func(a *netlink.LinkAttrs) { a.EncapType = "ppp" },
		"with packets that are more": func(a *netlink.LinkAttrs) { a.MTU = 9000 },
		"of a bond or VRF":           func(a *netlink.LinkAttrs) { a.MasterIndex = 7 },
		"of the host itself":         func(a *netlink.LinkAttrs) { a.Flags = net.FlagLoopback },
	} {
		bad := good
		if change(&bad); canRing(&bad) {
			t.Errorf("at a device %s", name)
		}
	}
	for a, want := range map[string]bool{"192.0.2.1": true, "2001:db8::1": true, "127.0.0.1": false, "::1": false, "fe80::1": false, "224.0.0.1": false} {
		if takesFor(netip.MustParseAddr(a)) != want {
			t.Errorf("packets to %s are taken: %t, want %t", a, !want, want)
		}
	}
}

// becomes waits until the fast path of b is in a state.
func (p *pair) becomes(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); p.netB.FastPath() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the fast path is %q, want %q", p.netB.FastPath(), want)
		}
	}
}

// TestInletFollowsDevices: a device with packets that are too large for a ring is left to the
// socket, and taken again; a VLAN that comes is taken, and so are its packets; an address that is
// gone is none of ours.
func TestInletFollowsDevices(t *testing.T) {
	p := newRingPair(t, 1)
	p.live(t, 1000)
	link, err := p.b.Netlink().LinkByName("nn0")
	if err != nil {
		t.Fatal(err)
	}
	p.becomes(t, "on: nn0")
	if err := p.b.Netlink().LinkSetMTU(link, 9000); err != nil {
		t.Fatal(err)
	}
	p.becomes(t, "socket: no Ethernet device with an address of ours and an MTU that fits")
	arrive := func(local, remote string, ring bool) {
		t.Helper()
		before := p.netB.Counters()["net_ring"]
		out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(netip.MustParseAddr(local), 0), at(netip.MustParseAddr(remote), 0))}
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		recv(t, p.netB.Ports()[0], nil)
		if got := p.netB.Counters()["net_ring"] > before; got != ring {
			t.Errorf("to %s: by the ring %t, want %t", remote, got, ring)
		}
	}
	arrive("192.0.2.1", "192.0.2.2", false)
	if err := p.b.Netlink().LinkSetMTU(link, 1500); err != nil {
		t.Fatal(err)
	}
	p.becomes(t, "on: nn0")
	arrive("192.0.2.1", "192.0.2.2", true)
	if err := vlans(p); err != nil {
		t.Skip("no VLAN devices here: ", err)
	}
	p.becomes(t, "on: nn0,nn0.7")
	arrive("198.51.100.1", "198.51.100.2", true)
}

// vlans gives both hosts a VLAN on their link.
func vlans(p *pair) error {
	for host, addr := range map[*netlab.Host]string{p.a: "198.51.100.1/24", p.b: "198.51.100.2/24"} {
		parent, err := host.Netlink().LinkByName("nn0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "nn0.7", ParentIndex: parent.Attrs().Index}, VlanId: 7}
		if err := host.Netlink().LinkAdd(vlan); err != nil {
			return err
		}
		if err := host.Netlink().AddrAdd(vlan, a); err != nil {
			return err
		}
		if err := host.Netlink().LinkSetUp(vlan); err != nil {
			return err
		}
	}
	return nil
}
