package dataplane

import (
	"culvert/dataplane/netio"
	"culvert/esp"
	"errors"
	"net/netip"
)

// maxBatch is the most packets that are opened together: what netio aims at for a burst (as many as UDP_GRO brings at once), and as much again.
const maxRxBatch = 128

// inboundBatch is what one receive brought, which may be many datagrams of one sender or a burst of several: ESP of any SAs, opened where it lies, in its place among what came to the
// same port.
type rxBatch struct {
	rxPlace
	n       int
	packets [maxRxBatch]esp.Packet
	used    int // of runs; those behind are zero, so that none keeps an SA alive that was removed
	runs    [maxRxBatch]rxRun
}

// inboundRun is those packets of a batch that came for one SA one after the other with the same outer header: what must be done for each is then little more than
// decryption.
type rxRun struct {
	pair    *pair
	remote  netip.AddrPort
	encap   bool
	tos     uint8 // outer
	packets []esp.Packet
}

// inbound puts what was received into the batch.
func (w *worker) inbound(r *netio.Received) {
	data, size := r.Data, r.SegSize
	if size <= 0 {
		size = len(data)
	}
	for len(data) > 0 {
		n := min(size, len(data))
		w.arrived(data[:n:n], r)
		data = data[n:]
	}
}

// arrived puts one datagram with those of its SA (RFC 4301, Section 5.2, step 3a).
func (w *worker) arrived(pkt []byte, r *netio.Received) {
	spi, ok := esp.SPI(pkt)
	if !ok {
		w.tally.add(dropShort, 1)
		return
	}
	b := &w.in
	if b.n == maxRxBatch {
		w.openBatch(false)
	}
	if b.used == 0 || !b.runs[b.used-1].continues(spi, r) {
		c := w.plane.sad.find(spi)
		if c == nil {
			w.tally.add(dropUnknownSPI, 1)
			return
		}
		b.runs[b.used] = rxRun{pair: c, remote: r.Remote, encap: r.Encap, tos: r.TOS, packets: b.packets[b.n:b.n]}
		b.used++
	}
	run := &b.runs[b.used-1]
	run.packets = append(run.packets, esp.Packet{Data: pkt})
	b.n++
}

// continues says whether a datagram for the SPI that came as r is one of the run.
func (i *rxRun) continues(spi uint32, r *netio.Received) bool {
	return i.pair.sa.SPIIn == spi && i.remote == r.Remote && i.encap == r.Encap && i.tos == r.TOS
}

// openBatch opens what the batch holds and passes it on (RFC 4301, Section 5.2; RFC 4303, Section 3.4). last says that the receive brought no more. All but the decryption is done
// when what came before has got as far, whichever worker does that.
func (w *worker) openBatch(last bool) {
	b := &w.in
	runs := b.runs[:b.used]
	b.n, b.used = 0, 0 // before anything that could panic
	for i := range runs {
		for k := range runs[i].packets {
			runs[i].pair.in.Decrypt(&w.scratch, &runs[i].packets[k])
		}
	}
	b.awaitAccept()
	for i := range runs {
		w.accept(&runs[i])
	}
	if last {
		b.passAccept()
	}
	for i := range runs {
		w.pass(&runs[i])
		runs[i] = rxRun{}
	}
	if last {
		w.gather.flush()
		b.passWrite()
	}
}

// accept moves the replay window over a run and notes what that means for its SA.
func (w *worker) accept(r *rxRun) {
	c := r.pair
	a := c.in.Accept(r.packets)
	if a.Authentic {
		w.plane.authentic(c, r.remote, r.encap, a.Newest, w.now)
		c.lastIn.set(w.nowNano)
	}
	if a.Soft {
		w.plane.expireSoft(c)
	}
	if a.Hard {
		w.plane.expireHard(c)
	}
}

// pass passes on those packets of a run that were accepted.
func (w *worker) pass(r *rxRun) {
	for i := range r.packets {
		if p := &r.packets[i]; p.Err == nil {
			w.deliver(r.pair, p, r.tos)
		} else if errors.Is(p.Err, esp.ErrDummy) {
			w.takeDummy(r.pair, p.Data)
		} else {
			w.drop(r.pair, refusal(p.Err))
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
	case errors.Is(err, esp.ErrExhausted):
		return dropExpired
	}
	return dropShort
}
