package guard

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// Parts of rules. Each loads register 1 and compares it, or gives the verdict.

const reg = 1

func equal(data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}
}

// device matches a device by its name. The device need not exist.
func device(key expr.MetaKey, name string) []expr.Any {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return []expr.Any{&expr.Meta{Key: key, Register: reg}, equal(b...)}
}

func native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func marked(m protect.Mark) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: native(m.Mask), Xor: native(0)},
		equal(native(m.Value)...),
	}
}

// setMark sets the bits of m's mask, and leaves the others.
func setMark(m protect.Mark) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: native(^m.Mask), Xor: native(m.Value)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg},
	}
}

func family(v6 bool) []expr.Any {
	f := byte(unix.NFPROTO_IPV4)
	if v6 {
		f = unix.NFPROTO_IPV6
	}
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg}, equal(f)}
}

// protocol matches the last header of a packet, or of a fragment.
func protocol(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}, equal(p)}
}

func icmp(v6 bool) []expr.Any {
	if v6 {
		return protocol(unix.IPPROTO_ICMPV6)
	}
	return protocol(unix.IPPROTO_ICMP)
}

// network loads n octets of the IP header.
func network(offset, n uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}
}

// transport loads n octets of the header behind the IP header, its options and extension headers.
// The rule does not match if the packet is too short, or a fragment other than the first.
func transport(offset, n uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: n}
}

// Addresses in an IP header.
func addressAt(v6, source bool) (offset, n uint32) {
	switch {
	case v6 && source:
		return 8, 16
	case v6:
		return 24, 16
	case source:
		return 12, 4
	}
	return 16, 4
}

func source(v6 bool) expr.Any      { return network(addressAt(v6, true)) }
func destination(v6 bool) expr.Any { return network(addressAt(v6, false)) }

// icmpHeader is the length in octets of an ICMP error's header, of either family, before the quoted
// packet.
const icmpHeader = 8

func quotedSource(v6 bool) expr.Any {
	offset, n := addressAt(v6, true)
	return transport(icmpHeader+offset, n)
}

func quotedDestination(v6 bool) expr.Any {
	offset, n := addressAt(v6, false)
	return transport(icmpHeader+offset, n)
}

// redirectedTo loads the destination address of an ICMPv6 redirect (RFC 4861, Section 4.5). The
// quoted packet is an option, and options come in any order.
func redirectedTo(bool) expr.Any { return transport(24, 16) }

// icmpType matches the type of an ICMP message.
func icmpType(t byte) []expr.Any { return []expr.Any{transport(0, 1), equal(t)} }

// inSet matches a loaded address that is in a set.
func inSet(name string) expr.Any { return &expr.Lookup{SourceRegister: reg, SetName: name} }

// byMap gives the verdict to which a map leads the loaded address. Without one the next rule
// follows.
func byMap(name string) expr.Any {
	return &expr.Lookup{SourceRegister: reg, SetName: name, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true}
}

// toThisHost matches packets to an address of this host.
func toThisHost() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg, FlagDADDR: true, ResultADDRTYPE: true},
		equal(native(unix.RTN_LOCAL)...),
	}
}

// toMarkedSocket matches packets to a socket of this host with the mark.
func toMarkedSocket(m protect.Mark) []expr.Any {
	return append([]expr.Any{&expr.Socket{Key: expr.SocketKeyMark, Register: reg}}, marked(m)[1:]...)
}

// fromThisHost matches packets that no device received.
func fromThisHost() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIF, Register: reg}, equal(native(0)...)}
}

// port16 returns a port in network byte order.
func port16(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// laterFragment matches fragments other than the first.
func laterFragment(v6 bool) []expr.Any {
	load, mask := network(6, 2), []byte{0x1f, 0xff}
	if v6 {
		load = &expr.Exthdr{DestRegister: reg, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6}
		mask = []byte{0xff, 0xf8}
	}
	return []expr.Any{
		load,
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 2, Mask: mask, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: []byte{0, 0}},
	}
}

func count(counter string) []expr.Any {
	return []expr.Any{&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter}}
}

// countBy counts with the counter to which a map leads the loaded address. Without one the next
// rule follows. Package expr lacks this expression, so that it writes itself into a batch.
type countBy struct {
	expr.Any
	set string
}

func (c countBy) put(b *batch) {
	b.text(unix.NFTA_EXPR_NAME, "objref")
	b.nest(unix.NFTA_EXPR_DATA, func() {
		b.number(unix.NFTA_OBJREF_SET_SREG, reg)
		b.text(unix.NFTA_OBJREF_SET_NAME, c.set)
	})
}

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}

func accept() []expr.Any               { return verdict(expr.VerdictAccept, "") }
func drop() []expr.Any                 { return verdict(expr.VerdictDrop, "") }
func jump(chain string) []expr.Any     { return verdict(expr.VerdictJump, chain) }
func goTo(chain string) []expr.Any     { return verdict(expr.VerdictGoto, chain) }
func seq(exprs ...expr.Any) []expr.Any { return exprs }
