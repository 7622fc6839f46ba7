// Package host reads the properties of this host on which policies depend: its links, its routes,
// and the servers that its resolver asks. It changes nothing.
package host

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// A Link is a network interface that is up, other than a loopback.
type Link struct {
	Name   string
	Addrs  []netip.Prefix // its addresses, each with the prefix length of its network
	Bridge bool
}

// A Route is a route of the main table other than a default route.
type Route struct {
	Dst  netip.Prefix
	Link string
}

// A View is a snapshot of a host.
type View struct {
	Links   []Link
	Routes  []Route
	Default []string // links of default routes
	// Routed reports whether Routes and Default are known. Not every system shows them.
	Routed             bool
	Forward4, Forward6 bool
}

// Read returns a snapshot of the host. root is the folder that holds proc and sys, "/" outside of
// tests. What cannot be read is absent.
func Read(root string) *View {
	v := &View{Links: Links(root)}
	v.readRoutes(root)
	on := func(file string) bool {
		b, err := os.ReadFile(filepath.Join(root, "proc/sys/net", file))
		return err == nil && len(b) > 0 && b[0] != '0'
	}
	v.Forward4, v.Forward6 = on("ipv4/ip_forward"), on("ipv6/conf/all/forwarding")
	return v
}

// Links returns the links alone. root is as in Read.
func Links(root string) []Link {
	list, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []Link
	for _, i := range list {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		l := Link{Name: i.Name}
		_, err := os.Stat(filepath.Join(root, "sys/class/net", i.Name, "bridge"))
		l.Bridge = err == nil
		addrs, _ := i.Addrs() // an error means that the interface has gone
		for _, a := range addrs {
			if p, ok := prefixOf(a); ok {
				l.Addrs = append(l.Addrs, p)
			}
		}
		out = append(out, l)
	}
	return out
}

func prefixOf(a net.Addr) (netip.Prefix, bool) {
	n, ok := a.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	ip = ip.Unmap()
	return netip.PrefixFrom(ip, bits), ok && bits <= ip.BitLen()
}

// An Attached is a network whose hosts this host reaches without a router.
type Attached struct {
	Network netip.Prefix
	Link    string
	Bridge  bool
}

// Attached returns the networks of all links except the one named except, sorted and without
// duplicates. Networks of one address and of link-local addresses are left out.
func (v *View) Attached(except string) []Attached {
	var out []Attached
	for _, l := range v.Links {
		if l.Name == except {
			continue
		}
		for _, p := range l.Addrs {
			if !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() {
				out = append(out, Attached{p.Masked(), l.Name, l.Bridge})
			}
		}
	}
	slices.SortFunc(out, func(a, b Attached) int { return a.Network.Compare(b.Network) })
	return slices.CompactFunc(out, func(a, b Attached) bool { return a.Network == b.Network })
}
