package dataplane

import (
	"culvert/internal/ipheader"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/gso"
)

// icmpPerSecond is the most ICMP errors that a worker sends in a second; RFC 4443, Section 2.4 (f)
// requires a limit.
const icmpPerSecond = 100

// mayAnswer reports whether an error about pkt may be sent, by RFC 1122, Section 3.2.2 and RFC
// 4443, Section 2.4 (e): not about an ICMP error, a later fragment, or a packet without a single
// sender or a single receiver.
func mayAnswer(pkt []byte, hdr *selector.Packet) bool {
	if hdr.Fragment == selector.LaterFragment || !selector.IsUnicast(hdr.Src) || !selector.IsUnicast(hdr.Dst) {
		return false
	}
	upper := pkt[hdr.Upper:hdr.TotalLen]
	switch hdr.Protocol {
	case selector.ProtoICMP:
		return len(upper) > 0 && (upper[0] == 0 || upper[0] == 8 || upper[0] >= 13) // echo, and the queries numbered above the errors
	case selector.ProtoICMPv6:
		return len(upper) > 0 && upper[0] >= 128 // RFC 4443, Section 2.1: errors are below
	}
	return true
}

// An icmpAnswers writes ICMP errors about packets from the TUN back to it, at most icmpPerSecond.
// The source of an error is the destination of the packet: the TUN may have no address of its own,
// and the sender's own routes accept that address on the TUN.
type icmpAnswers struct {
	queue  tun.Queue
	second int64
	left   int
	buf    []byte
	write  gso.Packet
	pieces [1][]byte
}

func (a *icmpAnswers) open(queue tun.Queue) {
	a.queue = queue
	a.buf = make([]byte, 0, ipheader.MaxICMPError)
}

// send writes the error about pkt, within the limit of this second and if an error is allowed. It
// reports whether it did.
func (a *icmpAnswers) send(second int64, e ipheader.ICMPError, pkt []byte, hdr *selector.Packet) bool {
	if second != a.second {
		a.second, a.left = second, icmpPerSecond
	}
	if a.left == 0 || !mayAnswer(pkt, hdr) {
		return false
	}
	a.left--
	a.buf = e.Append(a.buf[:0], pkt[:hdr.TotalLen])
	a.pieces[0] = a.buf
	a.write = gso.Packet{}
	return a.queue.Write(&a.write, a.pieces[:]) == nil
}

// answer sends the error about x to its sender.
func (t *tx) answer(x *txPacket, e ipheader.ICMPError) {
	if t.answers.send(t.now.Unix(), e, x.pkt.Data, &x.hdr) {
		t.tally.add(countICMP, 1)
	}
}
