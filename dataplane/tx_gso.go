package dataplane

import (
	"culvert/dataplane/netio"
	"culvert/esp"
)

// sealSuper seals the segments of a super-packet one behind the other into the send buffer, each out of the read buffer, and sends them in as few calls as there can
// be: the sequence numbers are reserved at once, the payload is not copied.
//
//	tunBuf:   | hdr | payload 0 | hdr over its end | payload 1 | ...         made by tun.Segmenter, segment by segment
//	outbox:   | ESP | sealed 0       | ICV | ESP | sealed 1       | ICV |    all of one size but the last
func (w *worker) sealSuper(x *txPacket) bool {
	c, pkt := x.sa, x.pkt
	if w.segments.Reset(pkt) != nil {
		w.tally.add(dropBadPacket, 1)
		return true
	}
	n := w.segments.Len()
	seq, ok := w.reserve(c, n, len(pkt.Data)+(n-1)*int(pkt.HdrLen))
	if !ok {
		return false
	}
	largest := esp.SealedLen(int(pkt.HdrLen) + int(pkt.SegSize))
	space := w.space(min(n*largest, runSpace))
	used, count, size := 0, 0, 0 // of the space
	end := int(pkt.HdrLen)       // of the segment in hand, in the super-packet
	for inner := w.segments.Next(); inner != nil; inner = w.segments.Next() {
		if count == netio.MaxSegments || count > 0 && used+esp.SealedLen(len(inner)) > netio.MaxRun {
			w.enqueueRun(x, space[:used], count, size)
			n -= count
			space, used, count = w.space(min(n*largest, runSpace)), 0, 0 // mostly little is left, and goes in the same call
		}
		end += len(inner) - int(pkt.HdrLen)
		sealed := c.out.Seal(&w.scratch, space[used:], seq, withTailroom(inner, pkt.Data, end), x.next)
		if count == 0 {
			size = len(sealed)
		}
		seq++
		used += len(sealed)
		count++
	}
	w.enqueueRun(x, space[:used], count, size)
	w.useTicket()
	return true
}

// withTailroom is inner, which ends at data[:end], with what lies behind it in reach: Seal borrows these octets for the trailer, where it would otherwise have to copy the
// payload.
func withTailroom(inner, data []byte, end int) []byte {
	if end < len(inner) || end > len(data) {
		return inner
	}
	if same := data[end-len(inner) : end]; &same[0] == &inner[0] {
		return same
	}
	return inner
}

// postRun posts count sealed packets of size octets, of which the last may be shorter.
func (w *worker) enqueueRun(x *txPacket, sealed []byte, count, size int) {
	if count <= 1 {
		size = 0
	}
	w.enqueue(x.sa, x.wrap, sealed, size)
}

// sealSuperFragments sends a super-packet whose segments are too large and may be fragmented: as if each had come alone. It always reports true: what
// was sent before an SA's end cannot be sent again.
func (w *worker) sealSuperFragments(x *txPacket, mtu int) bool {
	if w.segments.Reset(x.pkt) != nil {
		w.tally.add(dropBadPacket, 1)
		return true
	}
	for inner := w.segments.Next(); inner != nil; inner = w.segments.Next() {
		ok := true
		if len(inner) <= mtu {
			ok = w.sealOne(x, inner)
		} else {
			ok = w.sealFragments(x, inner, mtu)
		}
		if !ok {
			w.drop(x.sa, dropExpired)
		}
	}
	return true
}
