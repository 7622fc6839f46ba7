package dataplane

import (
	"errors"
	"net/netip"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
)

// maxRun is the most packets that are opened together: as many as UDP_GRO brings at once.
const maxRun = 64

// inboundRun is packets of one SA that came one after the other with the same outer header, in one receive or in several of one burst: what must be done for each packet
// is then little more than decryption. They lie where they were received.
type inboundRun struct {
	pair    *pair // nil: there are none
	remote  netip.AddrPort
	encap   bool
	tos     uint8 // outer
	n       int
	packets [maxRun]esp.Packet
}

// inbound carries what came in one receive, which may be many datagrams of one sender, to the TUN. Each is opened where it lies; they may be of different SAs.
func (w *worker) inbound(r *netio.Received) {
	if in := &w.in; in.remote != r.Remote || in.encap != r.Encap || in.tos != r.TOS {
		w.openRun()
		in.remote, in.encap, in.tos = r.Remote, r.Encap, r.TOS
	}
	data, size := r.Data, r.SegSize
	if size <= 0 {
		size = len(data)
	}
	for len(data) > 0 {
		n := min(size, len(data))
		w.arrived(data[:n:n])
		data = data[n:]
	}
	if !r.More {
		w.openRun()
		w.gather.flush()
	}
}

// arrived puts one datagram with those of its SA (RFC 4301, Section 5.2, step 3a).
func (w *worker) arrived(pkt []byte) {
	spi, ok := esp.SPI(pkt)
	if !ok {
		w.tally.add(dropShort, 1)
		return
	}
	in := &w.in
	if in.n == maxRun || in.pair != nil && in.pair.sa.SPIIn != spi {
		w.openRun()
	}
	if in.pair == nil {
		if in.pair = w.plane.sad.find(spi); in.pair == nil {
			w.tally.add(dropUnknownSPI, 1)
			return
		}
	}
	in.packets[in.n] = esp.Packet{Data: pkt}
	in.n++
}

// openRun opens what is together and passes it on (RFC 4301, Section 5.2; RFC 4303, Section 3.4).
func (w *worker) openRun() {
	c, packets := w.in.pair, w.in.packets[:w.in.n]
	if c == nil {
		return
	}
	w.in.pair, w.in.n = nil, 0 // before anything that could panic
	a := c.in.Open(&w.scratch, packets)
	if a.Authentic {
		w.plane.authentic(c, w.in.remote, w.in.encap, a.Newest, w.now)
		c.lastIn.set(w.nowNano)
	}
	if a.Soft {
		w.plane.expireSoft(c)
	}
	if a.Hard {
		w.plane.expireHard(c)
	}
	for i := range packets {
		if p := &packets[i]; p.Err == nil {
			w.deliver(c, p, w.in.tos)
		} else {
			w.drop(c, refusal(p.Err))
		}
	}
}

// refusal is what a packet that Open refused is counted as.
func refusal(err error) reason {
	switch {
	case errors.Is(err, esp.ErrReplay):
		return dropReplay
	case errors.Is(err, esp.ErrICV):
		return dropICV
	case errors.Is(err, esp.ErrDummy):
		return dropDummy
	case errors.Is(err, esp.ErrExhausted):
		return dropExpired
	}
	return dropShort
}

// deliver checks an opened packet and passes it on to the TUN.
func (w *worker) deliver(c *pair, plain *esp.Packet, outerTOS uint8) {
	hdr := &w.hdr
	if selector.ParsePacket(plain.Data, hdr) != nil || nextHeader(hdr.Version) != plain.Next {
		w.drop(c, dropBadInner)
		return
	}
	// RFC 4301, Section 5.2, step 5: if "the packet's header fields are not consistent with the selectors for the SA, it MUST discard the packet".
	if !selector.MatchInbound(&hdr.Flow, c.sa.LocalTS, c.sa.RemoteTS) {
		w.drop(c, dropSelector)
		return
	}
	pkt := plain.Data[:hdr.TotalLen] // without the peer's TFC padding (RFC 4303, Section 2.7)
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
