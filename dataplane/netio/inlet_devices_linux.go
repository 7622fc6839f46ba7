package netio

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"culvert/dataplane/netio/hostpolicy"
)

// maxRingMTU is the largest MTU of a device whose packets fit into a ring. Packets of one SA by two
// ways would overtake each other, so that a device with a larger one is left to the socket.
const maxRingMTU = ringPacket

// An inletDevices is where the program is attached, and which addresses it takes packets for.
type inletDevices struct {
	at   map[int]attached // by the device's index
	ours map[netip.Addr]bool
}

// attached is the program at a device.
type attached struct {
	hook
	name string // of the device
}

// A devicePlan is where the program belongs.
type devicePlan struct {
	wanted  map[int]string // devices and their names
	ours    map[netip.Addr]bool
	skipped string // why not at one more; empty: there is none
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

// planDevices returns where the program belongs now, in the calling thread's network namespace.
func planDevices(n *Net) (p devicePlan, err error) {
	all, err := n.links.LinkList()
	if err != nil {
		return p, fmt.Errorf("listing the devices: %w", err)
	}
	addrs, err := n.links.AddrList(nil, unix.AF_UNSPEC)
	if err != nil {
		return p, fmt.Errorf("listing the addresses: %w", err)
	}
	filtered, err := hostpolicy.Ingresses()
	if err != nil {
		return p, fmt.Errorf("listing the filters of tc: %w", err)
	}
	return choose(all, addrs, filtered, n.receivesAt), nil
}

// choose chooses among devices and addresses. Not the devices with filters of tc, which would not
// see the packets, and not the addresses of VRFs: packets from outside do not get to them.
func choose(all []netlink.Link, addrs []netlink.Addr, filtered map[int]bool, receives func(netip.Addr) bool) devicePlan {
	p := devicePlan{wanted: make(map[int]string), ours: make(map[netip.Addr]bool)}
	vrf, at := make(map[int]bool), make(map[int]bool) // in a VRF; with an address
	for _, l := range all {
		vrf[l.Attrs().Index] = l.Type() == "vrf"
	}
	for _, l := range all {
		vrf[l.Attrs().Index] = vrf[l.Attrs().Index] || vrf[l.Attrs().MasterIndex]
	}
	for i := range addrs {
		a, ok := netip.AddrFromSlice(addrs[i].IP)
		if a = a.Unmap(); ok && takesFor(a) {
			at[addrs[i].LinkIndex] = true
			if receives(a) && !vrf[addrs[i].LinkIndex] {
				p.ours[a] = true
			}
		}
	}
	for _, l := range all {
		a := l.Attrs()
		switch {
		case !at[a.Index]:
		case vrf[a.Index]:
			p.skipped = a.Name + " is in a VRF"
		case a.EncapType == "ppp":
			p.skipped = a.Name + " is not an Ethernet device"
		case !canRing(a):
		case filtered[a.Index]:
			p.skipped = "filters of tc are for what comes to " + a.Name
		default:
			p.wanted[a.Index] = a.Name
		}
	}
	return p
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

// fits reports whether the program is where it belongs.
func (d *inletDevices) fits(p devicePlan) bool {
	for index, name := range p.wanted {
		if d.at[index].name != name {
			return false
		}
	}
	return len(d.at) == len(p.wanted)
}

// intact reports whether the program is still attached, and behind all others.
func (d *inletDevices) intact() bool {
	for _, a := range d.at {
		if !a.holds() {
			return false
		}
	}
	return true
}

// attach attaches the program to the wanted devices, behind all others, and detaches it from all
// other devices.
func (d *inletDevices) attach(m *inletMaps, wanted map[int]string) (err error) {
	for index, a := range d.at {
		if wanted[index] != a.name || !a.holds() {
			a.close()
			delete(d.at, index)
		}
	}
	for index, name := range wanted {
		if d.at[index].hook != nil {
			continue
		}
		h, failed := m.attach(index)
		if failed != nil {
			err = fmt.Errorf("device %s: %w", name, failed)
			continue
		}
		if d.at == nil {
			d.at = make(map[int]attached)
		}
		d.at[index] = attached{h, name}
	}
	return err
}

// names are those of the devices, by index.
func (d *inletDevices) names() map[int]string {
	out := make(map[int]string)
	for index, a := range d.at {
		out[index] = a.name
	}
	return out
}

func (d *inletDevices) close() {
	for _, a := range d.at {
		a.close()
	}
	d.at = nil
}
