package dataplane

import (
	"encoding/binary"
	"net/netip"

	"culvert/internal/ipheader"
	"culvert/selector"
	"culvert/tun/gso"
)

// ICMP errors that no policy covers by their own headers go with the packet that they quote (RFC
// 4301, Section 6.2), in both directions: those about traffic of children limited to protocols or
// ports, and those of routers that have no address in any local network, this gateway among them.
//
//	to the peer:    error to R, quoting R -> L    sent on the SA that carries L -> R
//	from the peer:  error to L, quoting L -> R    let in on an SA that carries L -> R
//
// So what an error can do is bounded by its SA: it reaches no other host than the one whose packet
// the SA would have carried. It is all off the fast path: the packet's own look-up comes first.

// uncovered takes an outbound packet that no policy covers by its own headers.
func (t *tx) uncovered(x *txPacket) {
	if x.hdr.ICMPError() {
		t.carryError(x)
		return
	}
	// RFC 4301, Section 5.1.1: the sender is told that this is administratively prohibited.
	t.tally.add(dropNoPolicy, 1)
	t.answer(x, prohibited)
}

// carryError sends an ICMP error on the SA that would carry the answer to the packet that it
// quotes. "If no such SA exists, no SA will be created" (RFC 4301, Section 6.2).
func (t *tx) carryError(x *txPacket) {
	var quoted selector.Packet
	if x.hdr.ParseQuote(x.pkt.Data, &quoted) != nil || quoted.Src != x.hdr.Dst {
		t.tally.add(dropErrorOut, 1)
		return
	}
	flow := quoted.Flow.Reverse()
	s, ok := t.plane.policyFor(&flow)
	if !ok {
		t.tally.add(dropErrorOut, 1)
		return
	}
	for {
		x.sa = s.pick(&flow, s.order, t.index)
		if x.sa == nil {
			switch t.plane.acquires.addError(s.slot, &flow, x, t.thread) {
			case saExists:
				continue
			case refused:
				t.tally.add(dropErrorNoSA, 1)
			}
			return
		}
		if needsSource(x) {
			setSource(x.pkt, &x.hdr, quoted.Dst)
		}
		if t.carry(x) {
			t.tally.add(countErrorCarried, 1)
			return
		}
	}
}

// needsSource reports whether an error must not keep its source. RFC 4301, Section 6.2 has the
// peer look at the quoted packet where the headers do not match, and the source tells who had the
// trouble, so it stays as it is, even outside of the SA's local networks. But there are peers that
// check the headers alone and drop the error. It is only one hop of a traceroute that is lost with
// most errors; with one that tells a path MTU it is the connection. That one, and one whose source
// is of no use beyond its link, come from where the quoted packet was going.
func needsSource(x *txPacket) bool {
	if containsAddr(x.sa.sa.LocalTS, x.hdr.Src) {
		return false
	}
	return x.hdr.ICMPTooBig() || isNoise(&x.hdr)
}

func containsAddr(list []selector.Selector, a netip.Addr) bool {
	for i := range list {
		if list[i].Contains(a) {
			return true
		}
	}
	return false
}

// setSource gives an ICMP error another source of its family. Its checksums are updated, not made
// again: what was damaged stays so.
func setSource(pkt *gso.Packet, hdr *selector.Packet, src netip.Addr) {
	gso.CompleteChecksum(pkt)
	hdr.Src = src
	if hdr.Version == 4 {
		to := src.As4()
		replaceSummed(pkt.Data[12:16], to[:], pkt.Data[ipheader.IPv4Checksum:])
		return
	}
	to := src.As16()
	replaceSummed(pkt.Data[8:24], to[:], pkt.Data[hdr.Upper+2:])
}

// replaceSummed writes the octets of to, an even number, over old, and updates the checksum that
// stands at the front of field.
func replaceSummed(old, to, field []byte) {
	sum := binary.BigEndian.Uint16(field)
	for i := 0; i < len(to); i += 2 {
		sum = ipheader.Update(sum, binary.BigEndian.Uint16(old[i:]), binary.BigEndian.Uint16(to[i:]), false)
	}
	copy(old, to)
	binary.BigEndian.PutUint16(field, sum)
}

// admitsError reports whether an ICMP error that the selectors of its SA do not cover by its own
// headers is about a packet that the SA, in the other direction, would have carried.
func admitsError(x *rxPacket) bool {
	c, hdr := x.sa, &x.hdr
	var quoted selector.Packet
	return hdr.ParseQuote(x.esp.Data, &quoted) == nil && quoted.Src == hdr.Dst && !isNoise(hdr) &&
		selector.MatchOutbound(&quoted.Flow, c.sa.LocalTS, c.sa.RemoteTS)
}
