package dataplane

import (
	"encoding/binary"

	"culvert/internal/ipheader"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/gso"
)

// ICMP errors for the inner sender (RFC 792, RFC 1191, RFC 4443).
const (
	icmpUnreachable = 3 // RFC 792
	icmpFragNeeded  = 4 // RFC 1191, Section 4
	icmpProhibited  = 13
	icmp6Prohibited = 1 // of type 1 (RFC 4443, Section 3.1)
	icmp6Unreach    = 1
	icmp6TooBig     = 2
	icmpTTL         = 64
	icmpQuote4      = 576  // RFC 1812, Section 4.3.2.3: as much as fits into 576 octets
	icmpQuote6      = 1280 // RFC 4443, Section 2.4 (c): at most the minimum IPv6 MTU
	icmpPerSecond   = 100  // per worker; RFC 4443, Section 2.4 (f) requires a limit

	// minIPv6MTU: RFC 8200, Section 5. Hosts ignore a smaller one in a Packet Too Big, so none is
	// sent.
	minIPv6MTU = 1280
	// minIPv4MTU: RFC 791, Section 3.2: 68 octets pass "without further fragmentation".
	minIPv4MTU = 68
)

// An icmpError is an error in its IPv4 and its IPv6 form.
type icmpError struct {
	type4, code4 uint8
	type6, code6 uint8
	mtu          int // 0: none
}

var prohibited = icmpError{type4: icmpUnreachable, code4: icmpProhibited, type6: icmp6Unreach, code6: icmp6Prohibited}

func tooBig(mtu int) icmpError {
	return icmpError{type4: icmpUnreachable, code4: icmpFragNeeded, type6: icmp6TooBig, mtu: mtu}
}

// appendICMP appends the error about pkt to b, or nothing if none may be sent. Its source is the
// destination of pkt: the TUN may have no address of its own, and the sender's own routes accept
// that address on the TUN.
func appendICMP(b []byte, e icmpError, pkt []byte, hdr *selector.Packet) []byte {
	if !mayAnswer(pkt, hdr) {
		return b
	}
	quote := pkt[:hdr.TotalLen]
	if hdr.Version == 4 {
		return appendICMPv4(b, e, quote[:min(len(quote), icmpQuote4-ipheader.IPv4Len-ipheader.ICMPLen)], hdr)
	}
	return appendICMPv6(b, e, quote[:min(len(quote), icmpQuote6-ipheader.IPv6Len-ipheader.ICMPLen)], hdr)
}

// mayAnswer reports whether an error about pkt may be sent, by RFC 1122, Section 3.2.2 and RFC
// 4443, Section 2.4 (e): not about an ICMP error, a later fragment, or a packet without a single
// sender or a single receiver.
func mayAnswer(pkt []byte, hdr *selector.Packet) bool {
	if hdr.Fragment == selector.LaterFragment || !isUnicast(hdr.Src) || !isUnicast(hdr.Dst) {
		return false
	}
	upper := pkt[hdr.Upper:hdr.TotalLen]
	switch hdr.Protocol {
	case selector.ProtoICMP:
		return len(upper) > 0 && (upper[0] == 0 || upper[0] == 8 || upper[0] >= 13) // echo, and the queries numbered above the errors
	case selector.ProtoICMPv6:
		return len(upper) > 0 && upper[0] >= 128 // RFC 4443, Section 2.1: errors are below
	}
	return true
}

func appendICMPv4(b []byte, e icmpError, quote []byte, hdr *selector.Packet) []byte {
	total := ipheader.IPv4Len + ipheader.ICMPLen + len(quote)
	src, dst := hdr.Dst.As4(), hdr.Src.As4()
	ip := len(b)
	b = append(b, 0x45, 0xc0) // RFC 1812, Section 4.3.2.5: precedence 6
	b = binary.BigEndian.AppendUint16(b, uint16(total))
	b = append(b, 0, 0, 0x40, 0, icmpTTL, selector.ProtoICMP, 0, 0)
	b = append(append(b, src[:]...), dst[:]...)
	binary.BigEndian.PutUint16(b[ip+10:], ^ipheader.Sum(0, b[ip:]))
	icmp := len(b)
	b = append(b, e.type4, e.code4, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(min(e.mtu, 0xffff)))
	b = append(b, quote...)
	binary.BigEndian.PutUint16(b[icmp+2:], ^ipheader.Sum(0, b[icmp:]))
	return b
}

func appendICMPv6(b []byte, e icmpError, quote []byte, hdr *selector.Packet) []byte {
	src, dst := hdr.Dst.As16(), hdr.Src.As16()
	length := ipheader.ICMPLen + len(quote)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(b, selector.ProtoICMPv6, icmpTTL)
	b = append(append(b, src[:]...), dst[:]...)
	icmp := len(b)
	b = append(b, e.type6, e.code6, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(e.mtu))
	b = append(b, quote...)
	pseudo := ipheader.PseudoSum(src[:], dst[:], selector.ProtoICMPv6, length)
	binary.BigEndian.PutUint16(b[icmp+2:], ^ipheader.Sum(pseudo, b[icmp:]))
	return b
}

// An icmpAnswers writes ICMP errors about packets from the TUN back to it, at most icmpPerSecond.
type icmpAnswers struct {
	queue  tun.Queue
	second int64
	left   int
	buf    []byte
	write  gso.Packet
	pieces [1][]byte
}

func (a *icmpAnswers) open(queue tun.Queue) {
	a.queue = queue
	a.buf = make([]byte, 0, icmpQuote6)
}

// send writes the error about pkt, within the limit of this second and if an error is allowed. It
// reports whether it did.
func (a *icmpAnswers) send(second int64, e icmpError, pkt []byte, hdr *selector.Packet) bool {
	if second != a.second {
		a.second, a.left = second, icmpPerSecond
	}
	if a.left == 0 {
		return false
	}
	a.buf = appendICMP(a.buf[:0], e, pkt, hdr)
	if len(a.buf) == 0 {
		return false
	}
	a.left--
	a.pieces[0] = a.buf
	a.write = gso.Packet{}
	return a.queue.Write(&a.write, a.pieces[:]) == nil
}

// answer sends the error about x to its sender.
func (t *tx) answer(x *txPacket, e icmpError) {
	if t.answers.send(t.now.Unix(), e, x.pkt.Data, &x.hdr) {
		t.tally.add(countICMP, 1)
	}
}
