package esp

import (
	"encoding/binary"
	"errors"
)

// The errors of packets. Each is an auditable event of RFC 4303 and is to be counted; the packet is
// dropped in silence. ErrExhausted is for a packet beyond a hard limit.
var (
	ErrShort   = errors.New("esp: too short for an ESP packet")
	ErrReplay  = errors.New("esp: sequence number seen before or behind the replay window")
	ErrICV     = errors.New("esp: not authentic")
	ErrPadding = errors.New("esp: bad padding")
	// ErrDummy is for an authentic packet without an inner packet (RFC 4303, Section 2.6).
	ErrDummy = errors.New("esp: dummy packet")
)

// A Packet is one packet of a run. A run arrived together for one SA and is opened together, so
// that the costs of the window and the counters are paid once. The caller sets Data and leaves the
// rest zero.
type Packet struct {
	// Data is the packet from its ESP header on. Opened, it is the inner packet, within the same
	// octets; it may end in padding of the sender (RFC 4303, Section 2.7) beyond the length in its
	// own header.
	Data []byte
	Seq  uint64
	Next uint8

	authentic bool
	Err       error // why it must be dropped; Data is nil then, except with ErrDummy
}

func (p *Packet) refuse(err error) { p.Data, p.Err = nil, err }

// An Arrival is the effect of a run on its SA.
type Arrival struct {
	Authentic bool // a packet was authentic and new: the peer is alive
	// Newest is set if such a packet had a higher sequence number than all accepted before: its
	// outer source may then be where the peer now is (RFC 7296, Section 2.23).
	Newest bool
	// Soft is set for the run that reaches a soft limit, and for no other (once for packets, once
	// for octets). Hard is set for each run that exceeds a hard limit: the SA is at its end.
	Soft, Hard bool
}

// Open opens a run, whose packets carry the SPI of this SA, in place: Decrypt for each, then
// Accept.
func (in *Inbound) Open(s *Scratch, run []Packet) Arrival {
	if len(run) == 1 {
		return in.openOne(s, &run[0])
	}
	for i := range run {
		in.Decrypt(s, &run[i])
	}
	return in.acceptRun(run)
}

// openOne is Open for a packet that came alone. Mostly its number is in the highest block of the
// window and fresh: then all that check and acceptance need is found at once, before the packet is
// decrypted. A window whose highest block is that of number 0, which is never sent, has no topWord.
func (in *Inbound) openOne(s *Scratch, p *Packet) Arrival {
	word, top := in.window.topWord.Load(), in.window.top.Load()
	if len(p.Data) < usualLeast || word == nil || in.whole == nil {
		in.Decrypt(s, p)
		return in.acceptOne(p)
	}
	low, old := binary.BigEndian.Uint32(p.Data[4:]), word.Load()
	seq := top<<blockShift | uint64(low&blockMask)
	if low != uint32(seq) || uint32(old>>32) != uint32(top) || old>>(seq&blockMask)&1 != 0 {
		in.Decrypt(s, p)
		return in.acceptOne(p)
	}
	if !in.whole.OpenPacket(p.Data, in.salt, seq, in.esn) {
		p.refuse(ErrICV)
		return Arrival{}
	}
	p.Seq, p.authentic = seq, true
	p.cutTrailer(p.Data[usualHeadroom : len(p.Data)-usualICV])
	bit := uint64(1) << (seq & blockMask)
	if !word.CompareAndSwap(old, old|bit) { // another goroutine was faster
		return in.acceptOne(p)
	}
	return in.countOne(p, uint32(old) < uint32(bit) && seq>>blockShift == in.window.top.Load())
}

// Decrypt is the part of Open that any goroutine may do, for several packets at once and in any
// order. It changes nothing of the SA. The packet must not be used before Accept has passed it.
//
// With extended sequence numbers a packet from behind the window is ErrICV: its number is taken for
// the one 2^32 higher (RFC 4303, Appendix A2.2).
func (in *Inbound) Decrypt(s *Scratch, p *Packet) {
	if in.whole == nil {
		in.decryptOther(s, p)
		return
	}
	pkt := p.Data
	if len(pkt) < usualLeast {
		p.refuse(ErrShort)
		return
	}
	// RFC 4303, Section 3.4.3: check the window before the ICV, because that is cheap, and move it
	// afterwards, because only then the number is authentic.
	seq := uint64(binary.BigEndian.Uint32(pkt[4:]))
	if in.esn {
		seq = in.window.sequence(uint32(seq))
	}
	if !in.window.check(seq) {
		p.refuse(ErrReplay)
		return
	}
	if !in.whole.OpenPacket(pkt, in.salt, seq, in.esn) {
		p.refuse(ErrICV)
		return
	}
	p.Seq, p.authentic = seq, true
	p.cutTrailer(pkt[usualHeadroom : len(pkt)-usualICV])
}

// decryptOther is Decrypt for ciphers without methods for packets. It makes the same checks in the
// same order.
func (in *Inbound) decryptOther(s *Scratch, p *Packet) {
	if len(p.Data) < in.least() {
		p.refuse(ErrShort)
		return
	}
	seq := uint64(binary.BigEndian.Uint32(p.Data[4:]))
	if in.esn {
		seq = in.window.sequence(uint32(seq))
	}
	if !in.window.check(seq) {
		p.refuse(ErrReplay)
		return
	}
	text := in.Format.text(p.Data)
	if !in.other.open(&in.keyed, s, p.Data, seq) {
		clear(text)
		p.refuse(ErrICV)
		return
	}
	p.Seq, p.authentic = seq, true
	p.cutTrailer(text)
}

// Accept moves the window over a run whose packets were all given to Decrypt, and counts it. It
// sets an error on packets that must be dropped: replays, and those beyond a hard limit. Any
// goroutine may call it at any time. If runs are accepted in the order of their arrival, no packet
// is behind the window because of who decrypted it.
func (in *Inbound) Accept(run []Packet) (a Arrival) {
	if len(run) == 1 {
		return in.acceptOne(&run[0])
	}
	return in.acceptRun(run)
}

// acceptOne is Accept for a packet that came alone: without the loops and sums of a run.
func (in *Inbound) acceptOne(p *Packet) (a Arrival) {
	if !p.authentic {
		return a
	}
	fresh, highest := in.window.acceptOne(p.Seq)
	if !fresh {
		p.refuse(ErrReplay)
		return a
	}
	return in.countOne(p, highest)
}

// countOne counts an accepted packet that came alone.
func (in *Inbound) countOne(p *Packet, highest bool) Arrival {
	if p.Err == nil {
		if word, calm := in.used.add(1, uint64(len(p.Data))); !calm {
			return in.limitOne(p, word, highest)
		}
	}
	return Arrival{Authentic: true, Newest: highest}
}

// limitOne is countOne for a packet that may have brought a count, now word, to a limit.
func (in *Inbound) limitOne(p *Packet, word uint64, highest bool) Arrival {
	n, u := uint64(len(p.Data)), in.used.settle(word, &in.limits)
	a := Arrival{Authentic: true, Newest: highest}
	a.Soft = reached(u.Packets, 1, in.limits.softPackets) || reached(u.Octets, n, in.limits.softOctets)
	if u.Packets > in.limits.hardPackets || u.Octets > in.limits.hardOctets {
		a.Hard = true
		p.refuse(ErrExhausted)
	}
	return a
}

// acceptRun is Accept for any number of packets.
func (in *Inbound) acceptRun(run []Packet) (a Arrival) {
	var good Usage
	for rest := run; len(rest) > 0; {
		rest = rest[in.acceptBlock(rest, &a, &good):]
	}
	if good.Packets != 0 {
		in.count(run, good, &a)
	}
	return a
}

// acceptBlock accepts the packets at the start of run whose numbers are of one block of the window,
// and adds them to good. It returns the number of packets it has processed.
func (in *Inbound) acceptBlock(run []Packet, a *Arrival, good *Usage) (n int) {
	var block, packets, octets uint64
	var bits uint32
	for ; n < len(run); n++ {
		p := &run[n]
		if !p.authentic {
			continue
		}
		if bits == 0 {
			block = p.Seq >> blockShift
		}
		bit := uint32(1) << (p.Seq & blockMask)
		if p.Seq>>blockShift != block || bits&bit != 0 {
			break // another block, or the same number again, which the window refuses
		}
		bits |= bit
		if p.Err == nil {
			packets++
			octets += uint64(len(p.Data))
		}
	}
	good.Packets += packets
	good.Octets += octets
	if bits == 0 {
		return n
	}
	fresh, highest := in.window.accept(block, bits)
	a.Authentic = a.Authentic || fresh != 0
	a.Newest = a.Newest || highest
	if fresh != bits {
		refuseTaken(run[:n], fresh, good)
	}
	return n
}

// refuseTaken refuses the packets of a block whose numbers are not fresh: duplicates within the
// run, or numbers that another goroutine has just accepted.
func refuseTaken(run []Packet, fresh uint32, good *Usage) {
	for i := range run {
		p := &run[i]
		if !p.authentic || fresh>>(p.Seq&blockMask)&1 != 0 {
			continue
		}
		if p.Err == nil {
			good.Packets--
			good.Octets -= uint64(len(p.Data))
		}
		p.refuse(ErrReplay)
	}
}

// count counts the accepted packets of run, and refuses those beyond a hard limit. RFC 4301,
// Section 4.4.2.1: at "a hard lifetime [...] the current SA ends".
func (in *Inbound) count(run []Packet, good Usage, a *Arrival) {
	word, calm := in.used.add(good.Packets, good.Octets)
	if calm {
		return
	}
	u := in.used.settle(word, &in.limits)
	p, o := u.Packets, u.Octets
	a.Soft = reached(p, good.Packets, in.limits.softPackets) || reached(o, good.Octets, in.limits.softOctets)
	a.Hard = p > in.limits.hardPackets || o > in.limits.hardOctets
	if !a.Hard {
		return
	}
	p, o = p-good.Packets, o-good.Octets
	for i := range run {
		if run[i].Err != nil {
			continue
		}
		p, o = p+1, o+uint64(len(run[i].Data))
		if p > in.limits.hardPackets || o > in.limits.hardOctets {
			run[i].refuse(ErrExhausted)
		}
	}
}
