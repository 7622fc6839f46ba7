package dataplane

import (
	"culvert/esp"
	"culvert/tun"
)

// line is packets for one SA that were read and are not yet sealed. Where several workers send on one SA, each takes sequence numbers for many packets at once: with one
// number each, two workers that alternate would send each packet by itself, as the other's number lies between, and together be slower than one.
//
//	tunBuf:   | packet 0 | packet 1 | packet 2 |  the next is read here  |
type txBatch struct {
	pair    *pair
	n       int // packets; 0: there is no line
	octets  int
	begin   int  // of the space for the packet in hand
	used    int  // octets of tunBuf
	broken  bool // packets are sealed one by one
	packets [maxOuts]batchedPacket
}

// lined is a packet of the line and how it is to be wrapped.
type batchedPacket struct {
	inner []byte
	wrap
}

// A line is so long, in octets, before it is sealed, and of packets no larger than that.
const (
	txBatchBytes = flushBytes
	maxBatched   = txBatchBytes / 4
	txBatchAlign = 64
	txBatchSpace = txBatchBytes + tunHeadroom + maxBatched + tunTailroom + txBatchAlign // of tunBuf, at most
)

// readSpace is where the next packet is read to: behind those in the line, with room for the largest.
func (w *worker) readSpace() []byte {
	l := &w.batch
	if l.n == 0 {
		l.used = 0
	}
	l.begin = l.used
	return w.tunBuf[l.begin:]
}

// sealSoon puts a packet in line, where there is a use for that, and otherwise seals it. It lies in
// what readSpace gave, behind the headroom. It reports false if the SA is at its end: then nothing
// was sent.
func (w *worker) addToBatch(x *txPacket) bool {
	l, c, inner := &w.batch, x.sa, x.pkt.Data
	wait := w.shared && !l.broken && len(inner) <= maxBatched
	if l.n > 0 && (!wait || l.pair != c || l.n == maxOuts || l.used > txBatchBytes) {
		w.sealBatch()
	}
	if !wait {
		return w.sealOne(x, inner)
	}
	l.packets[l.n] = batchedPacket{inner, x.wrap}
	l.pair = c
	l.n++
	l.octets += len(inner)
	l.used = l.begin + (tunHeadroom+len(inner)+tunTailroom+txBatchAlign-1)&^(txBatchAlign-1)
	return true
}

// sealLine seals what is in line and posts it.
func (w *worker) sealBatch() {
	l := &w.batch
	if l.n == 0 {
		return
	}
	c, list, octets := l.pair, l.packets[:l.n], l.octets
	l.pair, l.n, l.octets = nil, 0, 0
	seq, soft, err := c.out.Reserve(len(list), octets)
	if err != nil {
		w.breakBatch(list)
		return
	}
	if soft {
		w.plane.expireSoft(c)
	}
	w.takeTicket(c, seq, len(list))
	space := w.space(octets + len(list)*esp.MaxOverhead)
	for i := range list {
		p := &list[i]
		sealed := c.out.Seal(&w.scratch, space, seq+uint64(i), p.inner, p.next)
		p.inner, space = sealed, space[len(sealed):]
	}
	for i := range list {
		w.enqueue(c, list[i].wrap, list[i].inner, 0)
	}
	w.useTicket()
}

// breakLine sends packets for an SA that is too near its end to carry all of them: as many as it still does, and the others as if they were just read.
func (w *worker) breakBatch(list []batchedPacket) {
	w.batch.broken = true
	for i := range list {
		pkt := tun.Packet{Data: list[i].inner}
		w.outbound(&pkt, w.now)
	}
	w.batch.broken = false
}
