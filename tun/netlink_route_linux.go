package tun

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A kernelRoute is a route in the kernel's form, with the attributes that culvert sets.
type kernelRoute struct {
	table    uint32
	dst      netip.Prefix
	metric   uint32
	kind     uint8 // unix.RTN_...
	protocol uint8 // its origin: routeProtocol for ours
	oif      uint32
	via, src netip.Addr
}

// append appends a request for the route.
func (k *kernelRoute) append(b []byte, kind, flags uint16) []byte {
	scope := byte(unix.RT_SCOPE_UNIVERSE)
	if kind == unix.RTM_DELROUTE {
		scope = unix.RT_SCOPE_NOWHERE // of any scope
	}
	v6 := k.dst.Addr().Is6()
	b = header(b, kind, flags, familyOf(v6), bitsOf(k.dst), 0, 0, unix.RT_TABLE_UNSPEC, k.protocol, scope, k.kind)
	var hop uint32
	if k.via.IsValid() && !v6 {
		hop = unix.RTNH_F_ONLINK
	}
	b = binary.NativeEndian.AppendUint32(b, hop)
	b = attribute32(b, unix.RTA_TABLE, k.table)
	b = attribute32(b, unix.RTA_PRIORITY, k.metric)
	b = attributeAddr(b, unix.RTA_DST, k.dst.Addr())
	if k.oif != 0 {
		b = attribute32(b, unix.RTA_OIF, k.oif)
	}
	if k.via.IsValid() {
		b = attributeAddr(b, unix.RTA_GATEWAY, k.via)
	}
	if k.src.IsValid() {
		b = attributeAddr(b, unix.RTA_PREFSRC, k.src)
	}
	return b
}

// parseRoute parses the body of a route message. It reports false for other families and for the
// kernel's cache.
func parseRoute(body []byte) (k kernelRoute, ok bool) {
	if len(body) < unix.SizeofRtMsg || body[0] != unix.AF_INET && body[0] != unix.AF_INET6 {
		return k, false
	}
	if binary.NativeEndian.Uint32(body[8:])&unix.RTM_F_CLONED != 0 {
		return k, false
	}
	k.table, k.protocol, k.kind = uint32(body[4]), body[5], body[7]
	any := netip.IPv4Unspecified()
	if body[0] == unix.AF_INET6 {
		any = netip.IPv6Unspecified()
	}
	k.dst = netip.PrefixFrom(any, 0) // a default route has no RTA_DST
	for kind, v := range attributes(body[unix.SizeofRtMsg:]) {
		switch ne := binary.NativeEndian; {
		case kind == unix.RTA_DST:
			k.dst = prefixOf(v, body[1])
		case kind == unix.RTA_GATEWAY:
			k.via, _ = netip.AddrFromSlice(v)
		case kind == unix.RTA_PREFSRC:
			k.src, _ = netip.AddrFromSlice(v)
		case len(v) != 4:
		case kind == unix.RTA_TABLE:
			k.table = ne.Uint32(v)
		case kind == unix.RTA_OIF:
			k.oif = ne.Uint32(v)
		case kind == unix.RTA_PRIORITY:
			k.metric = ne.Uint32(v)
		}
	}
	return k, k.dst.IsValid()
}

// prefixOf returns the prefix of an address attribute, invalid if it is malformed.
func prefixOf(v []byte, bits byte) netip.Prefix {
	a, ok := netip.AddrFromSlice(v)
	if !ok {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, int(bits))
}
