package tun

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A kernelRule is a policy rule in the kernel's form, with the attributes that culvert sets.
type kernelRule struct {
	v6          bool
	prio        uint32
	action      uint8
	invert      bool         // "not"
	src, dst    netip.Prefix // invalid: any
	mark, mask  uint32
	ipProto     uint8
	sport       portRange
	dport       portRange
	iif, oif    string
	uids        bool // limited to some users
	l3mdev      bool
	table, goTo uint32
	protocol    uint8 // its origin: routeProtocol for ours
}

type portRange struct{ first, last uint16 }

func familyOf(v6 bool) byte {
	if v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// append appends a request for the rule.
func (k *kernelRule) append(b []byte, kind, flags uint16) []byte {
	var ruleFlags uint32
	if k.invert {
		ruleFlags = unix.FIB_RULE_INVERT
	}
	b = header(b, kind, flags, familyOf(k.v6), bitsOf(k.dst), bitsOf(k.src), 0, 0, 0, 0, k.action)
	b = binary.NativeEndian.AppendUint32(b, ruleFlags)
	b = attribute32(b, unix.FRA_PRIORITY, k.prio)
	if k.table != 0 {
		b = attribute32(b, unix.FRA_TABLE, k.table)
	}
	if k.src.IsValid() {
		b = attributeAddr(b, unix.FRA_SRC, k.src.Addr())
	}
	if k.dst.IsValid() {
		b = attributeAddr(b, unix.FRA_DST, k.dst.Addr())
	}
	if k.mask != 0 {
		b = attribute32(b, unix.FRA_FWMARK, k.mark)
		b = attribute32(b, unix.FRA_FWMASK, k.mask)
	}
	if k.ipProto != 0 {
		b = attribute(b, unix.FRA_IP_PROTO, []byte{k.ipProto})
	}
	if k.sport != (portRange{}) {
		b = attribute(b, unix.FRA_SPORT_RANGE, k.sport.bytes())
	}
	if k.dport != (portRange{}) {
		b = attribute(b, unix.FRA_DPORT_RANGE, k.dport.bytes())
	}
	if k.iif != "" {
		b = attribute(b, unix.FRA_IIFNAME, append([]byte(k.iif), 0))
	}
	if k.oif != "" {
		b = attribute(b, unix.FRA_OIFNAME, append([]byte(k.oif), 0))
	}
	if k.action == unix.FR_ACT_GOTO {
		b = attribute32(b, unix.FRA_GOTO, k.goTo)
	}
	return attribute(b, unix.FRA_PROTOCOL, []byte{k.protocol})
}

func (p portRange) bytes() []byte {
	return binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, p.first), p.last)
}

func bitsOf(p netip.Prefix) byte { return byte(max(p.Bits(), 0)) }

// parseRule parses the body of a rule message. It reports false for other families.
func parseRule(body []byte) (k kernelRule, ok bool) {
	if len(body) < unix.SizeofRtMsg || body[0] != unix.AF_INET && body[0] != unix.AF_INET6 {
		return k, false
	}
	k.v6, k.action, k.table = body[0] == unix.AF_INET6, body[7], uint32(body[4])
	k.invert = binary.NativeEndian.Uint32(body[8:])&unix.FIB_RULE_INVERT != 0
	for kind, v := range attributes(body[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.FRA_DST:
			k.dst = prefixOf(v, body[1])
		case unix.FRA_SRC:
			k.src = prefixOf(v, body[2])
		case unix.FRA_IIFNAME:
			k.iif = strings.TrimRight(string(v), "\x00")
		case unix.FRA_OIFNAME:
			k.oif = strings.TrimRight(string(v), "\x00")
		case unix.FRA_UID_RANGE:
			k.uids = true
		default:
			k.number(kind, v)
		}
	}
	return k, true
}

// number sets the field of a numeric attribute.
func (k *kernelRule) number(kind uint16, v []byte) {
	switch ne := binary.NativeEndian; {
	case kind == unix.FRA_PROTOCOL && len(v) == 1:
		k.protocol = v[0]
	case kind == unix.FRA_IP_PROTO && len(v) == 1:
		k.ipProto = v[0]
	case kind == unix.FRA_L3MDEV && len(v) == 1:
		k.l3mdev = v[0] != 0
	case len(v) != 4:
	case kind == unix.FRA_PRIORITY:
		k.prio = ne.Uint32(v)
	case kind == unix.FRA_TABLE:
		k.table = ne.Uint32(v)
	case kind == unix.FRA_GOTO:
		k.goTo = ne.Uint32(v)
	case kind == unix.FRA_FWMARK:
		k.mark = ne.Uint32(v)
	case kind == unix.FRA_FWMASK:
		k.mask = ne.Uint32(v)
	case kind == unix.FRA_SPORT_RANGE:
		k.sport = portRange{ne.Uint16(v), ne.Uint16(v[2:])}
	case kind == unix.FRA_DPORT_RANGE:
		k.dport = portRange{ne.Uint16(v), ne.Uint16(v[2:])}
	}
}

// String returns the rule as ip rule shows it.
func (k kernelRule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", k.prio)
	word := func(name string, v any) { fmt.Fprintf(&b, " %s %v", name, v) }
	if k.invert {
		b.WriteString(" not")
	}
	if k.src.IsValid() {
		word("from", k.src)
	} else {
		b.WriteString(" from all")
	}
	if k.dst.IsValid() {
		word("to", k.dst)
	}
	if k.mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", k.mark, k.mask)
	}
	if k.iif != "" {
		word("iif", k.iif)
	}
	if k.oif != "" {
		word("oif", k.oif)
	}
	if k.ipProto != 0 {
		word("ipproto", k.ipProto)
	}
	if k.sport != (portRange{}) {
		fmt.Fprintf(&b, " sport %d-%d", k.sport.first, k.sport.last)
	}
	switch {
	case k.l3mdev:
		b.WriteString(" lookup [l3mdev-table]")
	case k.action == unix.FR_ACT_TO_TBL:
		word("lookup", k.table)
	case k.action == unix.FR_ACT_GOTO:
		word("goto", k.goTo)
	default:
		word("action", k.action)
	}
	return b.String()
}

// native returns n as a BPF filter loads it: the octets in native byte order, read as big-endian.
func native[T uint16 | uint32](n T) uint32 {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return uint32(n)
	}
	if any(n) == any(uint16(n)) {
		return uint32(bits.ReverseBytes16(uint16(n)))
	}
	return bits.ReverseBytes32(uint32(n))
}

// sortedRules sorts rules by priority, the order in which they apply to a packet.
func sortedRules(list []kernelRule) []kernelRule {
	slices.SortStableFunc(list, func(a, b kernelRule) int { return int(a.prio) - int(b.prio) })
	return list
}
