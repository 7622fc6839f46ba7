package dataplane

import (
	"net/netip"

	"culvert/internal/ipheader"
	"culvert/selector"
	"culvert/tun/gso"
)

// An ICMP error that no policy covers by its own headers is carried with the packet that it quotes
// (RFC 4301, Section 6.2), in both directions. Such errors are about traffic of Child SAs limited
// to protocols or ports, or from routers with no address in any local network, this gateway among
// them.
//
//	to the peer:    error to R, quoting R -> L    sent on the SA that carries L -> R
//	from the peer:  error to L, quoting L -> R    let in on an SA that carries L -> R
//
// An error's reach is thus bounded by its SA: it reaches only the host whose packet the SA would
// have carried. This is off the fast path: the packet's own look-up comes first.

// uncovered handles an outbound packet that no policy covers by its own headers.
func (t *tx) uncovered(x *txPacket) {
	if x.hdr.ICMPError() {
		t.carryError(x)
		return
	}
	// RFC 4301, Section 5.1.1: the sender is told that this is administratively prohibited.
	t.tally.add(dropNoPolicy, 1)
	t.sight(dropNoPolicy, 0, &x.hdr.Flow)
	t.answer(x, ipheader.Prohibited())
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
		x.sa = s.pick(&flow, s.order, t.home.index)
		if x.sa == nil {
			switch t.plane.acquires.addError(s.slot, &flow, x, t.home) {
			case saExists:
				continue
			case full:
				t.tally.add(dropErrorNoSA, 1)
			case heldDown:
				t.tally.add(dropHeld, 1)
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

// needsSource reports whether an error needs another source. By RFC 4301, Section 6.2 the peer
// checks the quoted packet if the headers do not match, and the source names the hop with the
// problem, so it normally stays, even outside of the SA's local networks. But some peers check the
// headers alone and drop the error. For most errors that loses one hop of a traceroute; for one
// that carries a path MTU it breaks the connection. That error, and one whose source is meaningless
// beyond its link, get the quoted packet's destination as source.
func needsSource(x *txPacket) bool {
	if containsAddr(x.sa.sa.LocalTS, x.hdr.Src) {
		return false
	}
	return x.hdr.ICMPTooBig() || x.hdr.IsNoise()
}

func containsAddr(list []selector.Selector, a netip.Addr) bool {
	for i := range list {
		if list[i].Contains(a) {
			return true
		}
	}
	return false
}

// setSource gives an ICMP error another source of its family. Its checksums are updated, not
// recomputed, so that a damaged packet stays damaged.
func setSource(pkt *gso.Packet, hdr *selector.Packet, src netip.Addr) {
	gso.CompleteChecksum(pkt)
	hdr.Src = src
	if hdr.Version == 4 {
		to := src.As4()
		ipheader.Replace(pkt.Data[12:16], to[:], pkt.Data[ipheader.IPv4Checksum:])
		return
	}
	to := src.As16()
	ipheader.Replace(pkt.Data[8:24], to[:], pkt.Data[hdr.Upper+ipheader.ICMPChecksum:])
}

// admitsError reports whether an ICMP error that the selectors of its SA do not cover by its own
// headers is about a packet that the SA would have carried in the other direction.
func admitsError(x *rxPacket) bool {
	c, hdr := x.sa, &x.hdr
	var quoted selector.Packet
	return hdr.ParseQuote(x.esp.Data, &quoted) == nil && quoted.Src == hdr.Dst && !hdr.IsNoise() &&
		selector.MatchOutbound(&quoted.Flow, c.sa.LocalTS, c.sa.RemoteTS)
}
