// Package host reads what this host is like, as far as policies hang on it: its links, its routes,
// and whom its resolver asks. It changes nothing.
package host

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// Link is a network interface that is up and no loopback.
type Link struct {
	Name   string
	Addrs  []netip.Prefix // its addresses, each with the length of the network that is attached by it
	Bridge bool
}

// Route is a route of the main table that is not a default one.
type Route struct {
	Dst  netip.Prefix
	Link string
}

// View is a host at one time.
type View struct {
	Links   []Link
	Routes  []Route
	Default []string // the links that default routes lead to
	// Routed is whether Routes and Default are known: not every system tells them.
	Routed             bool
	Forward4, Forward6 bool
}

// Read reads the host; the files of /proc and /sys are looked for below root, "/" for the real
// ones. What cannot be read is absent.
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

// Links reads the links alone.
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
		addrs, _ := i.Addrs() // an interface that has gone meanwhile has none
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

// Attached is a network that hosts are on with whom this host talks without a router.
type Attached struct {
	Network netip.Prefix
	Link    string
	Bridge  bool
}

// Attached returns the networks of all links but the one named except, without those of one
// address or of link-local addresses, sorted and without repetitions.
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
