package netio

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
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

// TestChooseDevices: not those with filters of tc, nor the addresses of VRFs and of their devices.
func TestChooseDevices(t *testing.T) {
	link := func(index, master int, name string) netlink.LinkAttrs {
		return netlink.LinkAttrs{Index: index, MasterIndex: master, Name: name, MTU: 1500, EncapType: "ether"}
	}
	all := []netlink.Link{
		&netlink.Device{LinkAttrs: link(4, 3, "in-vrf")}, &netlink.Dummy{LinkAttrs: link(1, 0, "plain")}, &netlink.Device{LinkAttrs: link(2, 0, "filtered")},
		&netlink.Vrf{LinkAttrs: link(3, 0, "vrf")}, &netlink.Device{LinkAttrs: link(5, 0, "bare")}, &netlink.Device{LinkAttrs: link(6, 0, "other")},
	}
	var addrs []netlink.Addr
	for index, a := range []string{1: "192.0.2.1", 2: "192.0.2.2", 3: "192.0.2.3", 4: "192.0.2.4", 6: "2001:db8::6"} {
		if a != "" {
			addrs = append(addrs, netlink.Addr{IPNet: netlink.NewIPNet(net.ParseIP(a)), LinkIndex: index})
		}
	}
	p := choose(all, addrs, map[int]bool{2: true, 5: true}, func(a netip.Addr) bool { return a.Is4() })
	if want := map[int]string{1: "plain", 6: "other"}; !maps.Equal(p.wanted, want) {
		t.Errorf("chosen %v", p.wanted)
	}
	ppp := link(7, 0, "ppp0")
	ppp.EncapType = "ppp"
	for index, want := range map[int]string{1: "", 2: "filters of tc are for what comes to filtered", 4: "in-vrf is in a VRF", 7: "ppp0 is not an Ethernet device"} {
		address := []netlink.Addr{{IPNet: netlink.NewIPNet(net.ParseIP("192.0.2.1")), LinkIndex: index}}
		if p := choose(append(all, &netlink.Device{LinkAttrs: ppp}), address, map[int]bool{2: true}, func(netip.Addr) bool { return true }); p.skipped != want {
			t.Errorf("with an address at device %d: %q", index, p.skipped)
		}
	}
	if want := map[netip.Addr]bool{netip.MustParseAddr("192.0.2.1"): true, netip.MustParseAddr("192.0.2.2"): true}; !maps.Equal(p.ours, want) {
		t.Errorf("packets to %v are taken", p.ours)
	}
}

// TestSameIndexAgain: a device that is made again with the same index gets the program, and so does
// one where another program came behind ours.
func TestSameIndexAgain(t *testing.T) {
	p := newRingPair(t, 1)
	if p.live(t, 1000); !strings.HasSuffix(p.netB.FastPath().In, " by tcx") {
		t.Skip("no tcx here")
	}
	nl := p.b.Netlink()
	add := func() {
		t.Helper()
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "again", Index: 4000, MTU: 1500}, PeerName: "other"}
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("203.0.113.1").To4(), Mask: net.CIDRMask(24, 32)}}
		if err := errors.Join(nl.LinkAdd(veth), nl.AddrAdd(veth, addr), nl.LinkSetUp(veth)); err != nil {
			t.Fatal(err)
		}
	}
	programs := func() (list []ebpf.ProgramID) {
		t.Helper()
		if err := p.b.Do(func() error {
			r, err := link.QueryPrograms(link.QueryOptions{Target: 4000, Attach: ebpf.AttachTCXIngress})
			if err == nil {
				for _, a := range r.Programs {
					list = append(list, a.ID)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return list
	}
	add()
	p.becomes(t, "on: again,nn0")
	for range 5 {
		if err := nl.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "again", Index: 4000}}); err != nil {
			t.Fatal(err)
		}
		add()
		until(t, "the program at the new device", func() bool { return len(programs()) == 1 })
	}
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, tcxNext), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ours := programs()[0]
	if err := p.b.Do(func() error {
		l, err := link.AttachTCX(link.TCXOptions{Interface: 4000, Program: other, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := nl.LinkSetMTU(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: 4000}}, 1400); err != nil { // a notice
		t.Fatal(err)
	}
	until(t, "our program behind the other", func() bool { l := programs(); return len(l) == 2 && l[1] == ours })
}

// becomes waits until the fast path of b is in a state, by whatever hook.
func (p *pair) becomes(t *testing.T, want string) {
	t.Helper()
	is := func() bool {
		got, _, _ := strings.Cut(p.netB.FastPath().In, " by ")
		return got == want
	}
	for deadline := time.Now().Add(5 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the fast path is %q, want %q", p.netB.FastPath(), want)
		}
	}
}

// TestInletFollowsDevices: a device with packets that are too large for a ring is left to the
// socket, and taken again; a VLAN that comes is taken, and so are its packets; an address that is
// gone is none of ours.
func TestInletFollowsDevices(t *testing.T) { byEachHook(t, followDevices) }

func followDevices(t *testing.T, noTCX bool) {
	p := newRingPairBy(t, 1, noTCX)
	p.live(t, 1000)
	nn0, err := p.b.Netlink().LinkByName("nn0")
	if err != nil {
		t.Fatal(err)
	}
	p.becomes(t, "on: nn0")
	if err := p.b.Netlink().LinkSetMTU(nn0, 9000); err != nil {
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
	if err := p.b.Netlink().LinkSetMTU(nn0, 1500); err != nil {
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
