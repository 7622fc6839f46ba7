package dataplane

import (
	"encoding/binary"
	"slices"
	"sync"

	"culvert/internal/ipheader"
	"culvert/selector"
)

// Bounds of the packets that are put together again before they are sealed.
const (
	maxPartials      = 64 // packets
	partialBytes     = 1 << 20
	partialFragments = 256         // of one packet
	partialFor       = 2 * 1e9     // ns; the kernel of this host sends all fragments at once
	partialOverhead  = 1024        // octets that a packet counts in addition
	ipv6FragmentLen  = 8           // RFC 8200, Section 4.5
	wholeHeadroom    = tunHeadroom // in front of a whole packet
)

// partials puts packets that were fragmented before they are sealed together again, as transport
// mode protects whole packets (RFC 4301, Section 7; RFC 4303, Section 3.3.4). The lock is taken for
// fragments in transport mode alone.
type partials struct {
	mu     sync.Mutex
	octets int
	list   map[selector.DatagramID]*partial
}

// A partial is a packet of which fragments came.
type partial struct {
	header []byte // the IP header of the first fragment; nil: it has not come
	next   uint8  // IPv6: the protocol of what was fragmented
	data   []byte
	spans  [][2]int // of the data, that came
	total  int      // octets of the data; -1: the last fragment has not come
	until  int64
}

// add takes a copy of a fragment, and returns the whole packet with the last one. lost is the
// number of fragments that are given up: those of a packet in which two overlap (RFC 5722), and
// what finds no room.
func (p *partials) add(pkt []byte, hdr *selector.Packet, now int64) (whole []byte, lost int) {
	id, begin, end := hdr.FragmentOf(pkt)
	at := hdr.TotalLen - (end - begin) // of the data in pkt
	if hdr.Version == 6 && (pkt[6] != ipheader.ExtFragment || at != ipheader.IPv6Len+ipv6FragmentLen) {
		return nil, 1 // other extension headers, which are not carried
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.list[id]
	if d == nil {
		if len(p.list) >= maxPartials || p.octets+partialOverhead > partialBytes {
			return nil, 1
		}
		if p.list == nil {
			p.list = make(map[selector.DatagramID]*partial)
		}
		d = &partial{total: -1, until: now + partialFor}
		p.list[id] = d
		p.octets += partialOverhead
	}
	grow := max(end-len(d.data), 0)
	if p.octets+grow > partialBytes || !d.take(pkt[at:hdr.TotalLen], begin, end, isLast(pkt)) {
		return nil, 1 + p.forget(id)
	}
	p.octets += grow
	if begin == 0 {
		d.header = slices.Clone(pkt[:hdr.HeaderLen])
		if hdr.Version == 6 {
			d.next = pkt[ipheader.IPv6Len]
		}
	}
	if !d.complete() {
		return nil, 0
	}
	p.forget(id)
	return d.whole(), 0
}

// isLast reports whether a fragment is the last one of its packet. An IPv6 packet has no extension
// headers in front of that of the fragment.
func isLast(pkt []byte) bool {
	if pkt[0]>>4 == 4 {
		return binary.BigEndian.Uint16(pkt[ipheader.IPv4Fragment:])&ipheader.IPv4MF == 0
	}
	return binary.BigEndian.Uint16(pkt[ipheader.IPv6Len+2:])&ipheader.IPv6M == 0
}

// take copies the data of a fragment, and reports false if it cannot be of this packet.
func (d *partial) take(data []byte, begin, end int, last bool) bool {
	overlaps := func(s [2]int) bool { return begin < s[1] && s[0] < end }
	switch {
	case len(d.spans) == partialFragments, slices.ContainsFunc(d.spans, overlaps), begin == end:
		return false
	case last && (d.total >= 0 || len(d.data) > end), !last && (end-begin)%8 != 0, d.total >= 0 && end > d.total:
		return false
	}
	if last {
		d.total = end
	}
	if end > len(d.data) {
		d.data = append(d.data, make([]byte, end-len(d.data))...)
	}
	copy(d.data[begin:end], data)
	d.spans = append(d.spans, [2]int{begin, end})
	return true
}

// complete reports whether all fragments have come. None overlaps another.
func (d *partial) complete() bool {
	n := 0
	for _, s := range d.spans {
		n += s[1] - s[0]
	}
	return d.total >= 0 && n == d.total && d.header != nil
}

// whole returns the packet, with the room in front and behind that a packet from the TUN has. It is
// nil if it would be too long.
func (d *partial) whole() []byte {
	size := len(d.header) + d.total
	if size > maxDatagram {
		return nil
	}
	buf := make([]byte, wholeHeadroom+size, wholeHeadroom+size+tunTailroom)
	pkt := buf[wholeHeadroom:]
	copy(pkt[copy(pkt, d.header):], d.data)
	if pkt[0]>>4 == 6 {
		pkt[6] = d.next
		binary.BigEndian.PutUint16(pkt[4:], uint16(d.total))
		return pkt
	}
	h := pkt[:len(d.header)]
	binary.BigEndian.PutUint16(h[ipheader.IPv4TotalLength:], uint16(size))
	binary.BigEndian.PutUint16(h[ipheader.IPv4Fragment:], 0)
	binary.BigEndian.PutUint16(h[ipheader.IPv4Checksum:], 0)
	binary.BigEndian.PutUint16(h[ipheader.IPv4Checksum:], ^ipheader.Sum(0, h))
	return pkt
}

// forget removes a packet, and returns the number of its fragments. p.mu is held.
func (p *partials) forget(id selector.DatagramID) int {
	d := p.list[id]
	delete(p.list, id)
	p.octets -= partialOverhead + len(d.data)
	return len(d.spans)
}

// tick gives up packets of which fragments did not come, and returns the number of the others. The
// control goroutine calls it about once a second.
func (p *partials) tick(now int64) (lost int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, d := range p.list {
		if left := d.until - now; left <= 0 || left > 2*partialFor { // the upper bound: the clock may have been set back
			lost += p.forget(id)
		}
	}
	return lost
}
