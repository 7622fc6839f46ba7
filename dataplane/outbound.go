package dataplane

import (
	"net/netip"
	"time"

	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
)

// outbound carries what came in one read from the TUN, a packet or a super-packet, to its SA (RFC 4301, Section 5.1). A super-packet is classified
// once, as all its segments are of one flow. pkt's data lies in tunBuf. since is when it was first read.
func (w *worker) outbound(pkt *tun.Packet, since time.Time) {
	if pkt.GSO != tun.GSONone {
		w.sealLine() // the order of a flow is kept
	}
	hdr := &w.hdr
	if selector.ParsePacket(pkt.Data, hdr) != nil {
		w.tally.add(dropBadPacket, 1)
		return
	}
	pkt.Data = pkt.Data[:hdr.TotalLen]
	if isNoise(hdr) {
		w.tally.add(dropNoise, 1)
		return
	}
	s, ok := w.plane.spd.Load().Lookup(&hdr.Flow)
	if !ok {
		// RFC 4301, Section 6: the sender should learn "that the requested traffic is administratively prohibited".
		w.tally.add(dropNoPolicy, 1)
		w.answer(prohibited, pkt.Data, hdr)
		return
	}
	for {
		c := s.pick(&hdr.Flow, s.order, w.index)
		if c == nil {
			switch w.plane.keeper.keep(s.slot, &hdr.Flow, pkt, since, w) {
			case saExists:
				continue
			case refused:
				w.tally.add(dropNoSA, 1)
			}
			return
		}
		if c.sa.PerResource && c.sa.Resource != w.index+1 {
			w.noteDemand(s.slot, &hdr.Flow)
		}
		if w.carry(c, pkt) {
			return
		}
		// The SA has just come to its end, and pick will not choose it again.
	}
}

// isNoise says whether a packet is what hosts say to their link: no tunnel carries it, and no tunnel is to come up for it. Link-local IPv4 addresses
// are not among it: some gateways number tunnels with them.
func isNoise(hdr *selector.Packet) bool {
	return !isUnicast(hdr.Dst) || !isUnicast(hdr.Src) || hdr.Version == 6 && (hdr.Dst.IsLinkLocalUnicast() || hdr.Src.IsLinkLocalUnicast())
}

var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func isUnicast(a netip.Addr) bool { return !a.IsMulticast() && !a.IsUnspecified() && a != broadcast4 }

// wrap is how a packet is sealed and sent.
type wrap struct {
	tos      uint8 // outer
	next     uint8 // ESP next header
	fragment bool  // the outer IP may fragment it
}

// carry sends a packet through an SA, in the way that its size asks for. It reports false if the SA is at its end: then nothing was sent.
func (w *worker) carry(c *pair, pkt *tun.Packet) bool {
	hdr := &w.hdr
	mtu, fragment := c.mtuFor(hdr.Version)
	w.wrap = wrap{tos: esp.OuterTOS(hdr.TOS), next: nextHeader(hdr.Version), fragment: fragment}
	if pkt.GSO != tun.GSONone {
		return w.carrySuper(c, pkt, mtu)
	}
	clampMSS(pkt.Data, hdr, mtu, !pkt.NeedsChecksum)
	tun.CompleteChecksum(pkt)
	if len(pkt.Data) <= mtu {
		return w.sealSoon(c, pkt.Data)
	}
	if hdr.DF {
		w.tooBig(c, pkt.Data, mtu)
		return true
	}
	header, how := hdr.HeaderLen, w.wrap
	w.sealLine()
	w.wrap = how
	return w.sealFragments(c, pkt.Data, header, mtu)
}

// tooBig answers a packet that must not be fragmented (RFC 4301, Section 8.2.1, cases 1 and 3).
func (w *worker) tooBig(c *pair, pkt []byte, mtu int) {
	w.drop(c, dropTooBig)
	w.answer(tooBig(mtu), pkt, &w.hdr)
}

// carrySuper sends a super-packet. One of TCP whose segments are too large gets smaller ones, since its boundaries mean nothing; of UDP each segment is a packet
// of its own and fares as such.
func (w *worker) carrySuper(c *pair, pkt *tun.Packet, mtu int) bool {
	room := mtu - int(pkt.HdrLen)
	if int(pkt.SegSize) <= room {
		return w.sealSuper(c, pkt)
	}
	switch {
	case pkt.GSO != tun.GSOUDP && room > 0:
		pkt.SegSize = uint16(room)
		return w.sealSuper(c, pkt)
	case w.hdr.DF:
		w.tooBig(c, pkt.Data, mtu)
		return true
	}
	return w.sealSuperFragments(c, pkt, mtu)
}

// reserve takes n sequence numbers for octets of inner packets. false: the SA is at its end, and the control plane has been told.
func (w *worker) reserve(c *pair, n, octets int) (first uint64, ok bool) {
	first, soft, err := c.out.Reserve(n, octets)
	if err != nil {
		w.plane.expireHard(c)
		return 0, false
	}
	if soft {
		w.plane.expireSoft(c)
	}
	w.takeTicket(c, first, n)
	return first, true
}

// sealOne seals one packet and posts it.
func (w *worker) sealOne(c *pair, inner []byte) bool {
	space := w.room(esp.SealedLen(len(inner)))
	seq, ok := w.reserve(c, 1, len(inner))
	if !ok {
		return false
	}
	w.post(c, c.out.Seal(&w.scratch, space, seq, inner, w.next), 0)
	w.useTicket()
	return true
}

// sealFragments cuts an IPv4 packet into fragments, and seals and sends each.
func (w *worker) sealFragments(c *pair, pkt []byte, header, mtu int) bool {
	f := fragmenter{pkt: pkt, header: header, mtu: mtu}
	for {
		frag := f.next(w.fragBuf[:0])
		if len(frag) == 0 {
			return true
		}
		if !w.sealOne(c, frag) {
			return false
		}
	}
}
