package dataplane

import (
	"errors"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipheader"
	"culvert/tun/gso"
)

// txBatch is the transmit batch: packets of one SA that were read and are not yet sealed. Where
// several workers send on one SA, each takes sequence numbers for many packets at once. With one
// number each, two workers that alternate would send each packet by itself, as the other's number
// lies between, and together be slower than one.
//
//	tx.buf:   | packet 0 | packet 1 | packet 2 |  the next is read here  |
type txBatch struct {
	pair    *pair
	n       int // packets
	octets  int
	begin   int  // of the space for the packet in hand
	used    int  // octets of tx.buf
	broken  bool // packets are sealed one by one
	last    bool // all that was read is in it
	packets [maxOuts]batchedPacket
}

// batchedPacket is a packet of the batch and how it is wrapped.
type batchedPacket struct {
	inner []byte
	wrap
}

// Limits of a batch: total octets, and the largest packet that may join.
const (
	txBatchBytes = flushBytes
	maxBatched   = txBatchBytes / 4
	txBatchAlign = 64
	txBatchSpace = txBatchBytes + tunHeadroom + maxBatched + tunTailroom + txBatchAlign // of tx.buf, at most
)

func (b *txBatch) discard() { b.pair, b.n, b.octets, b.broken, b.last = nil, 0, 0, false, false }

// readSpace returns where the next packet is read to: behind those of the batch, with room for the
// largest.
func (t *tx) readSpace() []byte {
	b := &t.batch
	if b.n == 0 {
		b.used = 0
	}
	b.begin = b.used
	return t.buf[b.begin:]
}

// addToBatch adds a packet to the batch, where there is a use for that, and otherwise seals it. It
// lies in what readSpace returned, behind the headroom. It reports false if the SA is at its end:
// then nothing was sent.
func (t *tx) addToBatch(x *txPacket) bool {
	b, c, inner := &t.batch, x.sa, x.pkt.Data
	wait := t.shared && !b.broken && len(inner) <= maxBatched
	if b.n > 0 && (!wait || b.pair != c) {
		t.sealBatch()
	}
	if !wait {
		return t.sealOne(x, inner)
	}
	b.packets[b.n] = batchedPacket{inner, x.wrap}
	b.pair = c
	b.n++
	b.octets += len(inner) - int(x.skip)
	b.used = b.begin + (tunHeadroom+len(inner)+tunTailroom+txBatchAlign-1)&^(txBatchAlign-1)
	if b.full() {
		t.sealLast()
	}
	return true
}

// full reports whether nothing more may be added.
func (b *txBatch) full() bool { return b.n == maxOuts || b.used > txBatchBytes }

// sealLast seals and enqueues the batch, in which is all that was read.
func (t *tx) sealLast() {
	t.batch.last = true
	t.sealBatch()
	t.batch.last = false
}

// sealBatch seals and enqueues the batch.
func (t *tx) sealBatch() {
	b := &t.batch
	if b.n == 0 {
		return
	}
	c, list, octets := b.pair, b.packets[:b.n], b.octets
	b.pair, b.n, b.octets = nil, 0, 0
	seq, soft, err := c.out.Reserve(len(list), octets)
	if err != nil {
		t.breakBatch(list)
		return
	}
	if soft {
		t.plane.expireSoft(c)
	}
	t.out.takeTicket(c, seq, len(list))
	if b.last {
		t.leaveReading()
	}
	space := t.out.space(octets + len(list)*c.out.Overhead())
	for i := range list {
		p := &list[i]
		sealed := c.out.Seal(&t.scratch, space, seq+uint64(i), p.inner[p.skip:], p.next)
		p.inner, space = sealed, space[len(sealed):]
	}
	for i := range list {
		t.out.enqueue(c, list[i].wrap, list[i].inner, 0)
	}
	t.out.useTicket()
}

// breakBatch sends packets for an SA that is too near its end to carry all of them: on it those
// that it still carries, and the others as if they had just been read.
func (t *tx) breakBatch(list []batchedPacket) {
	t.batch.broken = true
	for i := range list {
		pkt := gso.Packet{Data: list[i].inner}
		t.outbound(&pkt, t.now)
	}
	t.batch.broken = false
}

// reserve takes n sequence numbers for octets of inner packets. If there are none, it reports
// false, and with over that the packets are dropped: numbers will be allowed again. Otherwise the
// SA is at its end, and the control plane has been told.
func (t *tx) reserve(c *pair, n, octets int) (first uint64, ok, over bool) {
	first, soft, err := c.out.Reserve(n, octets)
	if err != nil {
		return 0, false, t.refused(c, n, err)
	}
	if soft {
		t.plane.expireSoft(c)
	}
	t.out.takeTicket(c, first, n)
	return first, true, false
}

// refused handles n packets for which there are no sequence numbers, and reports whether they are
// dropped. They are not kept: they would have to wait for a disk.
func (t *tx) refused(c *pair, n int, why error) bool {
	if errors.Is(why, esp.ErrNotAllowed) {
		t.dropAll(c, dropUnrecorded, n)
		return true
	}
	t.plane.expireHard(c)
	return false
}

// sealOne seals and enqueues one packet, which is x or a part of it. It reports false if the SA is
// at its end: then nothing was sent.
func (t *tx) sealOne(x *txPacket, inner []byte) bool {
	c := x.sa
	inner = inner[x.skip:]
	space := t.out.space(c.out.SealedLen(len(inner)))
	seq, ok, over := t.reserve(c, 1, len(inner))
	if !ok {
		return over
	}
	t.out.enqueue(c, x.wrap, c.out.Seal(&t.scratch, space, seq, inner, x.next), 0)
	t.out.useTicket()
	return true
}

// sealFragments cuts an IPv4 packet, which is x or a segment of it, into fragments, and seals and
// enqueues each. A packet that may be fragmented is cut before it is sealed, not after: a gateway
// that reassembles outer fragments does so before it can tell forged ones (RFC 4301, Section 7),
// and a NAT may drop them.
func (t *tx) sealFragments(x *txPacket, pkt []byte, mtu int) bool {
	f := ipheader.NewFragmenter(pkt, x.hdr.HeaderLen, mtu)
	for {
		frag := f.Next(t.fragBuf[:0])
		if len(frag) == 0 {
			return true
		}
		if !t.sealOne(x, frag) {
			return false
		}
	}
}

// carrySuper sends a super-packet. One of TCP whose segments are too large gets smaller segments,
// since their boundaries mean nothing. Each segment of one of UDP is a packet of its own.
func (t *tx) carrySuper(x *txPacket, mtu int) bool {
	pkt := x.pkt
	room := mtu - int(pkt.HdrLen)
	if int(pkt.SegSize) <= room {
		return t.sealSuper(x)
	}
	switch {
	case pkt.GSO != gso.UDP && room > 0:
		pkt.SegSize = uint16(room)
		return t.sealSuper(x)
	case x.hdr.DF:
		t.tooBig(x, mtu)
		return true
	}
	return t.sealSuperFragments(x, mtu)
}

// sealSuper seals the segments of a super-packet one behind the other into the transmit queue, each
// out of the read buffer, and sends them in as few calls as possible: the sequence numbers are
// reserved at once, and the payload is not copied.
//
//	tx.buf:   | hdr | payload 0 | hdr over its end | payload 1 | ...         made by gso.Segmenter
//	txQueue:  | ESP | sealed 0       | ICV | ESP | sealed 1       | ICV | last may be less
func (t *tx) sealSuper(x *txPacket) bool {
	c, pkt := x.sa, x.pkt
	if t.segments.Reset(pkt) != nil {
		t.tally.add(dropBadPacket, 1)
		return true
	}
	n, skip := t.segments.Len(), int(x.skip)
	seq, ok, over := t.reserve(c, n, len(pkt.Data)+(n-1)*int(pkt.HdrLen)-n*skip)
	if !ok {
		return over
	}
	t.leaveReading() // the batch before is sealed
	largest := c.out.SealedLen(int(pkt.HdrLen) + int(pkt.SegSize) - skip)
	space := t.out.space(min(n*largest, runSpace))
	used, count, size := 0, 0, 0 // of the space
	end := int(pkt.HdrLen)       // of the segment in hand, in the super-packet
	for inner := t.segments.Next(); inner != nil; inner = t.segments.Next() {
		if count == netio.MaxSegments || count > 0 && used+c.out.SealedLen(len(inner)-skip) > netio.MaxRun {
			t.enqueueRun(x, space[:used], count, size)
			n -= count
			space, used, count = t.out.space(min(n*largest, runSpace)), 0, 0 // mostly little is left, and goes in the same call
		}
		end += len(inner) - int(pkt.HdrLen)
		sealed := c.out.Seal(&t.scratch, space[used:], seq, withTailroom(inner, pkt.Data, end)[skip:], x.next)
		if count == 0 {
			size = len(sealed)
		}
		seq++
		used += len(sealed)
		count++
	}
	t.enqueueRun(x, space[:used], count, size)
	t.out.useTicket()
	return true
}

// withTailroom returns inner, which ends at data[:end], with the octets behind it in reach: Seal
// borrows these for the trailer, where it would otherwise have to copy the payload.
func withTailroom(inner, data []byte, end int) []byte {
	if end < len(inner) || end > len(data) {
		return inner
	}
	if same := data[end-len(inner) : end]; &same[0] == &inner[0] {
		return same
	}
	return inner
}

// enqueueRun enqueues count sealed packets of size octets, the last of which may be shorter.
func (t *tx) enqueueRun(x *txPacket, sealed []byte, count, size int) {
	if count <= 1 {
		size = 0
	}
	t.out.enqueue(x.sa, x.wrap, sealed, size)
}

// sealSuperFragments sends a super-packet whose segments are too large and may be fragmented: as if
// each had come alone. It always reports true: what was sent before an SA's end cannot be sent
// again.
func (t *tx) sealSuperFragments(x *txPacket, mtu int) bool {
	if t.segments.Reset(x.pkt) != nil {
		t.tally.add(dropBadPacket, 1)
		return true
	}
	for inner := t.segments.Next(); inner != nil; inner = t.segments.Next() {
		ok := true
		switch {
		case x.skip > 0:
			ok = t.sealWhole(x, inner, mtu)
		case len(inner) <= mtu:
			ok = t.sealOne(x, inner)
		default:
			ok = t.sealFragments(x, inner, mtu)
		}
		if !ok {
			t.drop(x.sa, dropExpired)
		}
	}
	return true
}
