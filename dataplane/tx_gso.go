package dataplane

import (
	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/tun/gso"
)

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
	n := t.segments.Len()
	seq, ok := t.reserve(c, n, len(pkt.Data)+(n-1)*int(pkt.HdrLen))
	if !ok {
		return false
	}
	largest := esp.SealedLen(int(pkt.HdrLen) + int(pkt.SegSize))
	space := t.out.space(min(n*largest, runSpace))
	used, count, size := 0, 0, 0 // of the space
	end := int(pkt.HdrLen)       // of the segment in hand, in the super-packet
	for inner := t.segments.Next(); inner != nil; inner = t.segments.Next() {
		if count == netio.MaxSegments || count > 0 && used+esp.SealedLen(len(inner)) > netio.MaxRun {
			t.enqueueRun(x, space[:used], count, size)
			n -= count
			space, used, count = t.out.space(min(n*largest, runSpace)), 0, 0 // mostly little is left, and goes in the same call
		}
		end += len(inner) - int(pkt.HdrLen)
		sealed := c.out.Seal(&t.scratch, space[used:], seq, withTailroom(inner, pkt.Data, end), x.next)
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
		if len(inner) <= mtu {
			ok = t.sealOne(x, inner)
		} else {
			ok = t.sealFragments(x, inner, mtu)
		}
		if !ok {
			t.drop(x.sa, dropExpired)
		}
	}
	return true
}
