package dataplane

import (
	"errors"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
)

// inbound carries what came in one receive, which may be many datagrams of one sender, to the TUN. Each is opened where it lies; they may be of different SAs.
func (w *worker) inbound(r *netio.Received) {
	data, size := r.Data, r.SegSize
	if size <= 0 {
		size = len(data)
	}
	for len(data) > 0 {
		n := min(size, len(data))
		w.open(data[:n:n], r)
		data = data[n:]
	}
	if !r.More {
		w.gather.flush()
	}
}

// open follows RFC 4301, Section 5.2 and RFC 4303, Section 3.4 for one datagram.
func (w *worker) open(pkt []byte, r *netio.Received) {
	spi, ok := esp.SPI(pkt)
	if !ok {
		w.tally.add(dropShort, 1)
		return
	}
	c := w.plane.sad.find(spi)
	if c == nil {
		w.tally.add(dropUnknownSPI, 1)
		return
	}
	plain, err := c.in.Open(&w.scratch, pkt)
	if err != nil {
		w.refused(c, r, err)
		return
	}
	w.plane.authentic(c, r.Remote, r.Encap, plain.Newest, w.now)
	c.lastIn.set(w.nowNano)
	soft, hard := c.in.Count(1, len(plain.Payload))
	if soft {
		w.plane.expireSoft(c)
	}
	if hard {
		w.plane.expireHard(c)
		w.drop(c, dropExpired)
		return
	}
	w.deliver(c, &plain, r.TOS)
}

// refused counts what Open would not have.
func (w *worker) refused(c *pair, r *netio.Received, err error) {
	switch {
	case errors.Is(err, esp.ErrReplay):
		w.drop(c, dropReplay)
	case errors.Is(err, esp.ErrICV):
		w.drop(c, dropICV)
	case errors.Is(err, esp.ErrDummy): // authentic: the peer lives
		w.plane.authentic(c, r.Remote, r.Encap, false, w.now)
		c.lastIn.set(w.nowNano)
		w.drop(c, dropDummy)
	default:
		w.drop(c, dropShort)
	}
}

// deliver checks an opened packet and passes it on to the TUN.
func (w *worker) deliver(c *pair, plain *esp.Plain, outerTOS uint8) {
	hdr := &w.hdr
	if selector.ParsePacket(plain.Payload, hdr) != nil || nextHeader(hdr.Version) != plain.Next {
		w.drop(c, dropBadInner)
		return
	}
	// RFC 4301, Section 5.2, step 5: if "the packet's header fields are not consistent with the selectors for the SA, it MUST discard the packet".
	if !selector.MatchInbound(&hdr.Flow, c.sa.LocalTS, c.sa.RemoteTS) {
		w.drop(c, dropSelector)
		return
	}
	pkt := plain.Payload[:hdr.TotalLen] // without the peer's TFC padding (RFC 4303, Section 2.7)
	drop, alarm := esp.ApplyECN(pkt, outerTOS)
	if alarm {
		w.drop(c, countECNAlarm)
	}
	if drop {
		w.drop(c, dropECN)
		return
	}
	mtu, _ := c.mtuFor(hdr.Version)
	clampMSS(pkt, hdr, mtu, true)
	w.gather.add(c, pkt, hdr)
}

// writeTUN writes what the coalescer made of packets that came by c.
func (w *worker) writeTUN(c *pair, p *tun.Packet, packets [][]byte) {
	err := w.queue.Write(p, packets)
	switch {
	case errors.Is(err, tun.ErrWouldBlock):
		w.dropAll(c, dropTUNFull, len(packets))
	case err != nil:
		w.dropAll(c, dropTUNError, len(packets))
	}
}

// nextHeader is the ESP next header of a packet of an IP version.
func nextHeader(version uint8) uint8 {
	if version == 4 {
		return esp.NextIPv4
	}
	return esp.NextIPv6
}

// drop counts a packet for an SA and for the plane.
func (w *worker) drop(c *pair, r reason) { w.dropAll(c, r, 1) }

// dropAll counts n packets.
func (w *worker) dropAll(c *pair, r reason, n int) {
	c.drops[r].Add(uint64(n))
	w.tally.add(r, n)
}
