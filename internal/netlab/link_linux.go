package netlab

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An Iface is one end of a link: its name in its host, and its addresses.
type Iface struct {
	Host  *Host
	Name  string
	Addrs []string // prefixes, like "192.0.2.1/24"
}

// Link joins two hosts (or a host with itself) by a veth pair of the given MTU.
func (l *Lab) Link(a, b Iface, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = a.Name, mtu
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: b.Name, PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(int(b.Host.ns))}
	if err := a.Host.nl.LinkAdd(pair); err != nil {
		return fmt.Errorf("veth %s:%s - %s:%s: %w", a.Host.Name, a.Name, b.Host.Name, b.Name, err)
	}
	for _, i := range []Iface{a, b} {
		if err := i.up(); err != nil {
			return err
		}
	}
	return nil
}

func (i Iface) up() error {
	link, err := i.Host.nl.LinkByName(i.Name)
	if err != nil {
		return fmt.Errorf("%s: link %s: %w", i.Host.Name, i.Name, err)
	}
	for _, s := range i.Addrs {
		addr, err := netlink.ParseAddr(s)
		if err != nil {
			return err
		}
		addr.Flags |= unix.IFA_F_NODAD
		if err := i.Host.nl.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("%s: address %s: %w", i.Host.Name, s, err)
		}
	}
	return i.Host.nl.LinkSetUp(link)
}

// SetLink sets a link up or down.
func (h *Host) SetLink(name string, up bool) error {
	link, err := h.nl.LinkByName(name)
	if err != nil {
		return err
	}
	if up {
		return h.nl.LinkSetUp(link)
	}
	return h.nl.LinkSetDown(link)
}

// LAN gives the host an inner network of its own: a veth pair with both ends in the host, because
// many kernels lack the dummy driver.
func (h *Host) LAN(name string, addrs ...string) error {
	return h.lab.Link(Iface{h, name, addrs}, Iface{h, name + "x", nil}, 1500)
}

// Route adds a route: dst is a prefix or "default", via a gateway's address. With mtu 0 the
// device's applies.
func (h *Host) Route(dst, via string, mtu int) error {
	r := &netlink.Route{Gw: net.ParseIP(via), MTU: mtu}
	if dst == "default" {
		dst = "0.0.0.0/0"
		if r.Gw.To4() == nil {
			dst = "::/0"
		}
	}
	_, n, err := net.ParseCIDR(dst)
	if err != nil {
		return err
	}
	r.Dst = n
	if err := h.nl.RouteReplace(r); err != nil {
		return fmt.Errorf("%s: route %s via %s: %w", h.Name, dst, via, err)
	}
	return nil
}

// RouteTo adds a route to dst by a device.
func (h *Host) RouteTo(dst, dev string) error {
	_, to, err := net.ParseCIDR(dst)
	if err != nil {
		return err
	}
	link, err := h.nl.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("%s: %w", dev, err)
	}
	return h.nl.RouteReplace(&netlink.Route{Dst: to, LinkIndex: link.Attrs().Index})
}

// HasLink reports whether the host has a link of the name.
func (h *Host) HasLink(name string) bool {
	_, err := h.nl.LinkByName(name)
	return err == nil
}

// Own makes all addresses of an IPv4 prefix the host's own, so that it receives what is sent to
// them and may send from them.
func (h *Host) Own(prefix string) error {
	_, n, err := net.ParseCIDR(prefix)
	if err != nil {
		return err
	}
	lo, err := h.nl.LinkByName("lo")
	if err == nil {
		err = h.nl.RouteReplace(&netlink.Route{
			Dst: n, LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST,
		})
	}
	if err != nil {
		return fmt.Errorf("%s: addresses of %s: %w", h.Name, prefix, err)
	}
	return nil
}
