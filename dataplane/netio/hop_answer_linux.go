package netio

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A routeAnswer is a route as the kernel tells it.
type routeAnswer struct {
	kind  uint8 // RTN_UNICAST and so on
	link  int
	via   netip.Addr // the gateway; invalid: none
	hops  uint8      // its own TTL or hop limit; 0: none
	many  bool       // it has several next hops
	other bool       // it adds headers (MPLS, segment routing), or the gateway is of the other family
}

// A linkAnswer is a device as the kernel tells it.
type linkAnswer struct {
	ethernet bool // with an address of six octets
	up       bool
	vrf      bool // it is a VRF, or in one
	addr     [6]byte
	mtu      int
	hops6    uint8 // the hop limit of IPv6; 0: unknown
}

// A neighbourKey is a neighbour of a device.
type neighbourKey struct {
	link int
	addr netip.Addr
}

// A neighbourAnswer is a neighbour as the kernel tells it.
type neighbourAnswer struct {
	neighbourKey
	valid bool // the kernel sends to it
	to    [6]byte
}

// attributes are the attributes in b: their types, without flags, and values. Other octets end
// them.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		const flags = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&^flags, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

func parseRoute(b []byte) (r routeAnswer, err error) {
	if len(b) < unix.SizeofRtMsg {
		return r, errOdd
	}
	r.kind = b[7]
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_OIF:
			r.link = int(number(v))
		case unix.RTA_GATEWAY:
			r.via, _ = netip.AddrFromSlice(v)
		case unix.RTA_MULTIPATH:
			r.many = true
		case unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_NEWDST:
			r.other = true
		case unix.RTA_METRICS:
			for metric, v := range attributes(v) {
				if metric == unix.RTAX_HOPLIMIT {
					r.hops = uint8(number(v))
				}
			}
		}
	}
	return r, nil
}

// parseDestination returns the destination of a route in a notice.
func parseDestination(b []byte) (p netip.Prefix, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return p, false
	}
	to := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		to = netip.IPv6Unspecified()
	}
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		if kind == unix.RTA_DST {
			to, _ = netip.AddrFromSlice(v)
		}
	}
	p = netip.PrefixFrom(to, int(b[1]))
	return p, p.IsValid()
}

func parseLink(b []byte) (l linkAnswer, err error) {
	if len(b) < unix.SizeofIfInfomsg {
		return l, errOdd
	}
	l.ethernet = binary.NativeEndian.Uint16(b[2:]) == unix.ARPHRD_ETHER
	l.up = binary.NativeEndian.Uint32(b[8:])&unix.IFF_UP != 0
	for kind, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_ADDRESS:
			l.ethernet = l.ethernet && len(v) == len(l.addr)
			copy(l.addr[:], v)
		case unix.IFLA_MTU:
			l.mtu = int(number(v))
		case unix.IFLA_LINKINFO:
			for info, v := range attributes(v) {
				if info == unix.IFLA_INFO_KIND || info == unix.IFLA_INFO_SLAVE_KIND {
					l.vrf = l.vrf || unix.ByteSliceToString(v) == "vrf"
				}
			}
		case unix.IFLA_AF_SPEC:
			l.hops6 = hopLimit6(v)
		}
	}
	return l, nil
}

// hopLimit6 returns the hop limit of a device from its values by family; 0: it is not there.
func hopLimit6(spec []byte) uint8 {
	const at = 4 // DEVCONF_HOPLIMIT, the second of IFLA_INET6_CONF
	for family, v := range attributes(spec) {
		if family != unix.AF_INET6 {
			continue
		}
		for kind, v := range attributes(v) {
			if kind == unix.IFLA_INET6_CONF && len(v) >= at+4 {
				return uint8(number(v[at : at+4]))
			}
		}
	}
	return 0
}

func parseNeighbour(b []byte) (n neighbourAnswer, err error) {
	if len(b) < unix.SizeofNdMsg {
		return n, errOdd
	}
	const valid = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY
	n.link = int(binary.NativeEndian.Uint32(b[4:]))
	known := false
	for kind, v := range attributes(b[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_DST:
			n.addr, _ = netip.AddrFromSlice(v)
		case unix.NDA_LLADDR:
			known = len(v) == len(n.to)
			copy(n.to[:], v)
		}
	}
	n.valid = known && binary.NativeEndian.Uint16(b[8:])&valid != 0 && b[10]&unix.NTF_PROXY == 0
	return n, nil
}

// number returns the value of an attribute of 32 bits; of another, 0.
func number(v []byte) uint32 {
	if len(v) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

// familyOf returns the number of an address' family.
func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
