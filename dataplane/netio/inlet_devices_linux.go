package netio

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxRingMTU is the largest MTU of a device whose packets fit into a ring. Packets of one SA by two
// ways would overtake each other, so that a device with a larger one is left to the socket.
const maxRingMTU = ringPacket

// An inletDevices is where the program is attached, and which addresses it takes packets for.
type inletDevices struct {
	links map[int]link.Link // by the device's index
	names []string          // of the devices, sorted
	ours  map[netip.Addr]bool
}

// canRing reports whether packets of IP protocol 50 can be taken at a device: one with Ethernet
// headers outside of any other (a bond, a bridge, a VRF), by which its packets would come.
func canRing(l *netlink.LinkAttrs) bool {
	return l.EncapType == "ether" && l.MasterIndex == 0 && l.Flags&net.FlagLoopback == 0 && l.MTU <= maxRingMTU
}

// takesFor reports whether packets to an address can be taken. What is sent to a link-local address
// needs its zone, which the socket tells.
func takesFor(a netip.Addr) bool {
	return a.IsValid() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast()
}

// follow attaches the program to the devices that there are now, and tells it our addresses.
func (d *inletDevices) follow(n *Net, m *inletMaps) error {
	all, err := n.links.LinkList()
	if err != nil {
		return fmt.Errorf("listing the devices: %w", err)
	}
	addrs, err := n.links.AddrList(nil, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("listing the addresses: %w", err)
	}
	ours, at := make(map[netip.Addr]bool), make(map[int]bool)
	for i := range addrs {
		a, ok := netip.AddrFromSlice(addrs[i].IP)
		if a = a.Unmap(); ok && takesFor(a) {
			at[addrs[i].LinkIndex] = true
			if n.receivesAt(a) {
				ours[a] = true
			}
		}
	}
	if err := d.address(m, ours); err != nil {
		return err
	}
	wanted := make(map[int]string)
	for _, l := range all {
		if a := l.Attrs(); at[a.Index] && canRing(a) {
			wanted[a.Index] = a.Name
		}
	}
	return d.attach(m, wanted)
}

// address tells the program our addresses.
func (d *inletDevices) address(m *inletMaps, ours map[netip.Addr]bool) error {
	for a := range ours {
		if !d.ours[a] {
			if err := m.ours.Put(a.As16(), uint32(1)); err != nil {
				return fmt.Errorf("address %s: %w", a, err)
			}
		}
	}
	for a := range d.ours {
		if !ours[a] {
			_ = m.ours.Delete(a.As16())
		}
	}
	d.ours = ours
	return nil
}

// attach attaches the program to the wanted devices, and detaches it from all others.
func (d *inletDevices) attach(m *inletMaps, wanted map[int]string) (err error) {
	if d.links == nil {
		d.links = make(map[int]link.Link)
	}
	for index, l := range d.links {
		if wanted[index] == "" {
			l.Close()
			delete(d.links, index)
		}
	}
	d.names = nil
	for index, name := range wanted {
		if d.links[index] == nil {
			l, failed := link.AttachTCX(link.TCXOptions{Interface: index, Program: m.program, Attach: ebpf.AttachTCXIngress})
			if failed != nil {
				err = fmt.Errorf("device %s: %w", name, failed)
				continue
			}
			d.links[index] = l
		}
		d.names = append(d.names, name)
	}
	slices.Sort(d.names)
	return err
}

func (d *inletDevices) close() {
	for _, l := range d.links {
		l.Close()
	}
	d.links = nil
}
