package gso

import (
	"bytes"
	"encoding/binary"

	"culvert/internal/ipheader"
	"culvert/selector"
)

const (
	// maxFlows is the number of flows that are gathered side by side; one more puts another out.
	maxFlows = 8
	// maxGathered is the most segments of one super-packet: what one UDP_GRO run brings, and where
	// the kernel's own GRO ends one of UDP.
	maxGathered = 64
)

// Coalescer gathers neighbouring TCP and UDP segments of one flow into super-packets for the TUN,
// by the rules of Linux's own GRO: cut again, a super-packet gives the packets that went in, octet
// for octet. (The one liberty, which GRO takes as well: packets that must not be fragmented and all
// have the same identification come out with ascending ones, which nobody may interpret; RFC 6864,
// Section 4.1.)
//
//	batch:  | A0 | A1 | B0 | A2 | B1 |        decrypted where they lie
//	TUN:    | A0 | payload of A1 | of A2 |    one writev: the header of A0 is made that of the
//	        | B0 | payload of B1 |            whole, and no payload is copied
//
// The order within a flow is kept: a packet that cannot join its flow's segments sends them on
// first. The packets given to Add must stay as they are until the next Flush. S is what a packet
// came by, and packets of different S are not mixed. A Coalescer allocates nothing and is not for
// concurrent use. Can and Out must be set.
type Coalescer[S comparable] struct {
	Can   Offloads // what the TUN takes whole; nothing else is gathered
	Out   func(c S, p *Packet, packets [][]byte)
	flows [maxFlows]gathered[S]
	used  int // flows[used:] are empty
	next  int // to be put out when all are in use
	alone [1][]byte
	super Packet
}

// gathered is the super-packet in the making of one flow.
type gathered[S comparable] struct {
	flow    selector.Flow
	from    S
	head    segment
	packets [maxGathered][]byte // the first packet, then payloads
	n       int                 // how many packets; 0: the place is free
	total   int                 // octets of the super-packet
	idStep  uint16              // by which the identification grows from one packet to the next
}

// Add takes the packet pkt, which came by c. It goes out now or at the latest with the next Flush.
func (g *Coalescer[S]) Add(c S, pkt []byte, hdr *selector.Packet) {
	if hdr.Fragment != selector.NotFragment {
		g.Flush() // it may be of any flow: most fragments do not tell
		g.single(c, pkt)
		return
	}
	f := g.find(&hdr.Flow)
	var s segment
	if !s.parse(pkt, hdr) || !g.takes(&s) {
		g.emit(f)
		g.single(c, pkt)
		return
	}
	if f != nil && f.from == c && f.join(&s) {
		if s.len() < f.head.len() || s.final() || f.n == maxGathered {
			g.emit(f)
		}
		return
	}
	g.emit(f)
	if s.final() { // nothing follows what is last, not even in a super-packet of its own
		g.single(c, pkt)
		return
	}
	g.place(f).begin(c, &hdr.Flow, &s)
}

// takes reports whether the TUN takes super-packets of the kind of s.
func (g *Coalescer[S]) takes(s *segment) bool {
	if s.udp {
		return g.Can.USO
	}
	return g.Can.TSO
}

// find returns where the flow's segments are gathered, or nil.
func (g *Coalescer[S]) find(flow *selector.Flow) *gathered[S] {
	for i := range g.flows[:g.used] {
		if f := &g.flows[i]; f.n > 0 && f.flow == *flow {
			return f
		}
	}
	return nil
}

// place returns a free place: f, which was just sent on, or one that another flow has left, or one
// that was not used yet, or that of the flow that is put out next.
func (g *Coalescer[S]) place(f *gathered[S]) *gathered[S] {
	if f != nil {
		return f
	}
	for i := range g.flows[:g.used] {
		if g.flows[i].n == 0 {
			return &g.flows[i]
		}
	}
	if g.used < maxFlows {
		g.used++
		return &g.flows[g.used-1]
	}
	f = &g.flows[g.next]
	g.next = (g.next + 1) % maxFlows
	g.emit(f)
	return f
}

// Flush sends on everything that is gathered.
func (g *Coalescer[S]) Flush() {
	for i := range g.flows[:g.used] {
		g.emit(&g.flows[i])
	}
	g.used = 0
}

// Discard drops everything that is gathered.
func (g *Coalescer[S]) Discard() {
	var none S
	for i := range g.flows {
		g.flows[i].n, g.flows[i].from = 0, none
	}
	g.used = 0
}

// single sends a packet on as it is.
func (g *Coalescer[S]) single(c S, pkt []byte) {
	g.alone[0], g.super = pkt, Packet{}
	g.Out(c, &g.super, g.alone[:])
}

// emit sends on the packets of f, if f is not nil, and frees its place.
func (g *Coalescer[S]) emit(f *gathered[S]) {
	if f == nil || f.n == 0 {
		return
	}
	c, n := f.from, f.n
	var none S
	f.n, f.from = 0, none
	g.super = Packet{}
	if n > 1 {
		f.head.describe(&g.super, f.total)
	}
	g.Out(c, &g.super, f.packets[:n])
}

// begin makes s the first packet. Its checksum is verified when a second one comes.
func (f *gathered[S]) begin(c S, flow *selector.Flow, s *segment) {
	f.flow, f.from, f.head = *flow, c, *s
	f.packets[0], f.n, f.total = s.pkt, 1, len(s.pkt)
}

// join appends s to f, and reports whether it may stand there.
func (f *gathered[S]) join(s *segment) bool {
	if s.len() > f.head.len() || f.total+s.len() > MaxPacket || !f.head.sameNetwork(s) || !f.nextID(s) {
		return false
	}
	if !s.udp && !f.nextTCP(s) {
		return false
	}
	if f.n == 1 && !f.head.intact() || !s.intact() {
		return false
	}
	if !s.udp {
		f.head.upper()[ipheader.TCPFlags] |= s.upper()[ipheader.TCPFlags] & tcpFinal
	}
	f.packets[f.n] = s.payload()
	f.n++
	f.total += s.len()
	return true
}

// nextID reports whether the IPv4 identification of s follows: one more with each packet, as those
// of a super-packet that is cut, or the same in all packets that must not be fragmented.
func (f *gathered[S]) nextID(s *segment) bool {
	if s.v6 {
		return true
	}
	if f.n == 1 {
		f.idStep = 1
		if s.id() == f.head.id() && s.pkt[6]&ipv4DF != 0 {
			f.idStep = 0
		}
	}
	return s.id() == f.head.id()+f.idStep*uint16(f.n)
}

// nextTCP reports whether the TCP header of s is that of the octets that follow, and otherwise the
// same except for the flags of the last segment.
func (f *gathered[S]) nextTCP(s *segment) bool {
	a, b := f.head.upper()[:f.head.hdrLen()], s.upper()[:s.hdrLen()]
	seq := binary.BigEndian.Uint32(a[ipheader.TCPSeq:]) + uint32(f.total-f.head.data)
	return len(a) == len(b) && binary.BigEndian.Uint32(b[ipheader.TCPSeq:]) == seq &&
		bytes.Equal(a[ipheader.TCPAck:ipheader.TCPFlags], b[ipheader.TCPAck:ipheader.TCPFlags]) && // with the reserved bits
		(a[ipheader.TCPFlags]^b[ipheader.TCPFlags])&^tcpFinal == 0 &&
		bytes.Equal(a[ipheader.TCPWindow:ipheader.TCPChecksum], b[ipheader.TCPWindow:ipheader.TCPChecksum]) &&
		bytes.Equal(a[ipheader.TCPUrgent:], b[ipheader.TCPUrgent:]) // with all options
}
