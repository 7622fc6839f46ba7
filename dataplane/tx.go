package dataplane

import (
	"errors"
	"fmt"
	"time"

	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
)

// txPacket is a packet or super-packet on its way out, with all that is known of it. It is one
// value that is passed on by pointer, and no part of it is kept in the worker: while it is in hand,
// packets of the transmit batch before it may have to be classified and sealed again (breakLine).
type txPacket struct {
	pkt *tun.Packet
	hdr selector.Packet
	sa  *pair // that pick chose last
	wrap
}

// wrap is how a packet is sealed and sent.
type wrap struct {
	tos      uint8 // outer
	next     uint8 // ESP next header
	fragment bool  // the outer IP may fragment it
	dummy    bool  // it is no traffic
}

// outbound carries what came in one read from the TUN, a packet or a super-packet, to its SA (RFC 4301, Section 5.1). A super-packet is classified
// once, as all its segments are of one flow. pkt's data lies in tunBuf. since is when it was first read.
func (w *worker) outbound(pkt *tun.Packet, since time.Time) {
	if pkt.GSO != tun.GSONone {
		w.sealBatch() // the order of a flow is kept
	}
	x := txPacket{pkt: pkt}
	hdr := &x.hdr
	if selector.ParsePacket(pkt.Data, hdr) != nil {
		w.tally.add(dropBadPacket, 1)
		return
	}
	pkt.Data = pkt.Data[:hdr.TotalLen]
	if isNoise(hdr) {
		w.outboundNoise(&x, since)
		return
	}
	if hdr.Fragment != selector.NotFragment && w.plane.portPolicies.Load() > 0 {
		w.outboundFragment(&x, since)
		return
	}
	s, ok := w.plane.policyFor(&hdr.Flow)
	if !ok {
		w.uncovered(&x, since)
		return
	}
	w.dispatch(&x, s, &hdr.Flow, since)
}

// dispatch sends a packet, which counts as of the flow, on an SA of its policy, or keeps it until
// there is one.
func (w *worker) dispatch(x *txPacket, s target, flow *selector.Flow, since time.Time) {
	for {
		x.sa = s.pick(flow, s.order, w.index)
		if x.sa == nil {
			switch w.plane.acquires.add(s.slot, flow, x.pkt, since, w) {
			case saExists:
				continue
			case refused:
				w.tally.add(dropNoSA, 1)
			}
			return
		}
		if x.sa.sa.PerResource && x.sa.sa.Resource != w.index+1 {
			w.noteDemand(s.slot, flow)
		}
		if w.carry(x) {
			return
		}
		// The SA has just come to its end, and pick will not choose it again.
	}
}

// carry sends a packet through its SA, in the way that its size asks for. It reports false if the
// SA is at its end: then nothing was sent.
func (w *worker) carry(x *txPacket) bool {
	hdr, pkt := &x.hdr, x.pkt
	mtu, fragment := x.sa.mtuFor(hdr.Version)
	x.wrap = wrap{tos: esp.OuterTOS(hdr.TOS), next: nextHeader(hdr.Version), fragment: fragment}
	if pkt.GSO != tun.GSONone {
		return w.carrySuper(x, mtu)
	}
	clampMSS(pkt.Data, hdr, mtu, !pkt.NeedsChecksum)
	tun.CompleteChecksum(pkt)
	if len(pkt.Data) <= mtu {
		return w.addToBatch(x)
	}
	if hdr.DF {
		w.tooBig(x, mtu)
		return true
	}
	w.sealBatch() // the order of a flow is kept
	return w.sealFragments(x, pkt.Data, mtu)
}

// tooBig answers a packet that must not be fragmented (RFC 4301, Section 8.2.1, cases 1 and 3).
func (w *worker) tooBig(x *txPacket, mtu int) {
	w.drop(x.sa, dropTooBig)
	w.answer(tooBig(mtu), x.pkt.Data, &x.hdr)
}

// carrySuper sends a super-packet. One of TCP whose segments are too large gets smaller ones, since its boundaries mean nothing; of UDP each segment is a packet
// of its own and fares as such.
func (w *worker) carrySuper(x *txPacket, mtu int) bool {
	pkt := x.pkt
	room := mtu - int(pkt.HdrLen)
	if int(pkt.SegSize) <= room {
		return w.sealSuper(x)
	}
	switch {
	case pkt.GSO != tun.GSOUDP && room > 0:
		pkt.SegSize = uint16(room)
		return w.sealSuper(x)
	case x.hdr.DF:
		w.tooBig(x, mtu)
		return true
	}
	return w.sealSuperFragments(x, mtu)
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

// sealOne seals one packet, which is x or a part of it, and posts it.
func (w *worker) sealOne(x *txPacket, inner []byte) bool {
	c := x.sa
	space := w.space(esp.SealedLen(len(inner)))
	seq, ok := w.reserve(c, 1, len(inner))
	if !ok {
		return false
	}
	w.enqueue(c, x.wrap, c.out.Seal(&w.scratch, space, seq, inner, x.next), 0)
	w.useTicket()
	return true
}

// sealFragments cuts an IPv4 packet, which is x or a segment of it, into fragments, and seals and
// sends each.
func (w *worker) sealFragments(x *txPacket, pkt []byte, mtu int) bool {
	f := fragmenter{pkt: pkt, header: x.hdr.HeaderLen, mtu: mtu}
	for {
		frag := f.next(w.fragBuf[:0])
		if len(frag) == 0 {
			return true
		}
		if !w.sealOne(x, frag) {
			return false
		}
	}
}

// drainTUN carries what the TUN has, up to a batch, to the port.
func (w *worker) drainTUN() (busy bool, err error) {
	for n, octets := 0, 0; n < cyclePackets && octets < cycleBytes; n++ {
		err := w.queue.Read(w.readSpace(), tunHeadroom, &w.read)
		if errors.Is(err, tun.ErrWouldBlock) {
			w.tunReady = w.readAhead != nil // which tells of nothing by itself
			return n > 0, nil
		}
		if err != nil {
			return false, fmt.Errorf("dataplane: the TUN device is gone: %w", err)
		}
		octets += len(w.read.Data)
		w.outbound(&w.read, w.now)
	}
	w.more = true
	return true, nil
}
