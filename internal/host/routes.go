package host

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// readRoutes reads the main table from the two files of Linux that list it.
func (v *View) readRoutes(root string) {
	v4, err := os.ReadFile(filepath.Join(root, "proc/net/route"))
	if err != nil {
		return
	}
	v.Routed = true
	v6, _ := os.ReadFile(filepath.Join(root, "proc/net/ipv6_route")) // absent without IPv6
	for line := range strings.Lines(string(v4)) {
		if dst, link, ok := parseRoute4(strings.Fields(line)); ok {
			v.addRoute(dst, link)
		}
	}
	for line := range strings.Lines(string(v6)) {
		if dst, link, ok := parseRoute6(strings.Fields(line)); ok {
			v.addRoute(dst, link)
		}
	}
}

func (v *View) addRoute(dst netip.Prefix, link string) {
	switch {
	case link == "lo" || dst.Addr().IsMulticast() || dst.Addr().IsLinkLocalUnicast():
	case dst.Bits() > 0:
		v.Routes = append(v.Routes, Route{dst, link})
	case !slices.Contains(v.Default, link):
		v.Default = append(v.Default, link)
	}
}

// parseRoute4 parses a line of /proc/net/route. Its fields are the link and, among others, the
// destination (1) and the mask (7), as hexadecimal numbers in native byte order.
func parseRoute4(f []string) (dst netip.Prefix, link string, ok bool) {
	if len(f) < 8 {
		return netip.Prefix{}, "", false
	}
	addr, err1 := strconv.ParseUint(f[1], 16, 32)
	mask, err2 := strconv.ParseUint(f[7], 16, 32)
	if err1 != nil || err2 != nil { // the heading
		return netip.Prefix{}, "", false
	}
	var a, m [4]byte
	binary.NativeEndian.PutUint32(a[:], uint32(addr))
	binary.NativeEndian.PutUint32(m[:], uint32(mask))
	bits := 0
	for x := binary.BigEndian.Uint32(m[:]); x&(1<<31) != 0; x <<= 1 {
		bits++
	}
	return netip.PrefixFrom(netip.AddrFrom4(a), bits), f[0], true
}

// parseRoute6 parses a line of /proc/net/ipv6_route. Its fields are the destination and its prefix
// length, both in hexadecimal, and, among others, the link as the last one.
func parseRoute6(f []string) (dst netip.Prefix, link string, ok bool) {
	if len(f) < 10 {
		return netip.Prefix{}, "", false
	}
	b, err1 := hex.DecodeString(f[0])
	bits, err2 := strconv.ParseUint(f[1], 16, 8)
	a, okAddr := netip.AddrFromSlice(b)
	if err1 != nil || err2 != nil || !okAddr || bits > 128 {
		return netip.Prefix{}, "", false
	}
	return netip.PrefixFrom(a, int(bits)), f[len(f)-1], true
}

// Reaches reports whether the network p overlaps a network of this host's links or the destination
// of a route other than a default one. It is true where the routes are not known.
func (v *View) Reaches(p netip.Prefix) bool {
	if !v.Routed {
		return true
	}
	for _, l := range v.Links {
		if slices.ContainsFunc(l.Addrs, func(a netip.Prefix) bool { return a.Overlaps(p) }) {
			return true
		}
	}
	return slices.ContainsFunc(v.Routes, func(r Route) bool { return r.Dst.Overlaps(p) })
}

// Has reports whether a is one of this host's addresses.
func (v *View) Has(a netip.Addr) bool {
	return slices.ContainsFunc(v.Links, func(l Link) bool {
		return slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr() == a })
	})
}
