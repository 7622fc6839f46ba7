package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
)

// Why Open refuses a packet. Each is an auditable event of RFC 4303 and is to be counted; the packet is dropped in silence.
var (
	ErrShort   = errors.New("esp: too short for an ESP packet")
	ErrReplay  = errors.New("esp: sequence number seen before or behind the replay window")
	ErrICV     = errors.New("esp: not authentic")
	ErrPadding = errors.New("esp: bad padding")
	// ErrDummy is an authentic packet that is there to hide how little traffic there is (RFC 4303, Section 2.6).
	ErrDummy = errors.New("esp: dummy packet")
)

// Inbound is an SA that we receive with. All of it is safe for concurrent use, with a Scratch for each goroutine; save Clear.
type Inbound struct {
	keyed
	limits thresholds
	window window

	packets atomic.Uint64
	octets  atomic.Uint64
	_       [cacheLine]byte
}

// Plain is an opened packet.
type Plain struct {
	Payload []byte // within the packet that was opened; may end in padding of the sender's (RFC 4303, Section 2.7), behind what its own header says
	Seq     uint64
	Next    uint8
	// Newest is set if no packet with a higher sequence number was accepted before: then its outer source may be where the peer now is (RFC 7296, Section 2.23).
	Newest bool
}

// NewInbound makes the receiving direction of sa, of which it keeps nothing but what it needs. SPIIn, KeyIn, Cipher and ReplayWindow must fit: see ErrSPI, ErrKey,
// ErrCipher, ErrWindow. A ReplayWindow of 0 is no replay protection; otherwise it is from MinWindow to MaxWindow.
func NewInbound(sa *ChildSA) (*Inbound, error) {
	if w := sa.ReplayWindow; w != 0 && (w < MinWindow || w > MaxWindow) {
		return nil, fmt.Errorf("%w: %d packets, must be 0 or %d to %d", ErrWindow, w, MinWindow, MaxWindow)
	}
	k, err := newKeyed(sa.SPIIn, sa.Cipher, sa.KeyIn, sa.ESN)
	if err != nil {
		return nil, err
	}
	// Without a window nothing says how many packets there can be.
	last := lastSequence(sa.ESN)
	if sa.ReplayWindow == 0 {
		last = math.MaxUint64
	}
	in := &Inbound{keyed: k, limits: newThresholds(sa.Limits, last)}
	in.window.init(sa.ReplayWindow)
	return in, nil
}

// SPI is the SPI that packets come with.
func (in *Inbound) SPI() uint32 { return in.spi }

// Used is what Count counted so far.
func (in *Inbound) Used() Usage { return Usage{Packets: in.packets.Load(), Octets: in.octets.Load()} }

// Count counts opened packets, a batch at a time. soft is true for the call that reaches a soft limit, and for no other (once for packets, once for octets); hard is
// true from the call on that goes over a hard one: the SA is at its end, and the batch is to be dropped.
func (in *Inbound) Count(packets, octets int) (soft, hard bool) {
	n, size := uint64(packets), uint64(octets)
	p, o := in.packets.Add(n), in.octets.Add(size)
	soft = reached(p, n, in.limits.softPackets) || reached(o, size, in.limits.softOctets)
	return soft, p > in.limits.hardPackets || o > in.limits.hardOctets
}

// Open opens pkt, which begins with the ESP header and is of this SA by its SPI, in place. On an error the octets of pkt behind
// the IV are undefined, and unless the packet was authentic (ErrPadding, ErrDummy, and ErrReplay for the loser of a race) nothing of the SA has changed.
// With extended sequence numbers a packet from behind the window is ErrICV: its number is taken for the one 2^32 higher (RFC 4303, Appendix A2.2).
func (in *Inbound) Open(s *Scratch, pkt []byte) (Plain, error) {
	if len(pkt) < minSealed {
		return Plain{}, ErrShort
	}
	// RFC 4303, Section 3.4.3: the window is asked before the ICV, because that is cheap, and moved after it, because only then the number is true.
	seq := uint64(binary.BigEndian.Uint32(pkt[4:]))
	if in.esn {
		seq = in.window.sequence(uint32(seq))
	}
	place, ok := in.window.check(seq)
	if !ok {
		return Plain{}, ErrReplay
	}
	nonce, aad := s.prepare(&in.keyed, seq, pkt)
	text := pkt[Headroom:]
	text, err := in.aead.Open(text[:0], nonce, text, aad)
	if err != nil {
		return Plain{}, ErrICV
	}
	first, highest := in.window.accept(place)
	if !first {
		return Plain{}, ErrReplay // another goroutine has just opened the same packet
	}
	payload, next, ok := cutTrailer(text)
	switch {
	case !ok:
		return Plain{}, ErrPadding
	case next == NextDummy:
		return Plain{}, ErrDummy
	}
	return Plain{Payload: payload, Seq: seq, Next: next, Newest: highest}, nil
}

// cutTrailer takes padding, pad length and next header off. RFC 4303, Section 2.4: "the receiver SHOULD inspect the Padding field."
func cutTrailer(text []byte) (payload []byte, next uint8, ok bool) {
	end := len(text) - trailerLen
	pad := int(text[end])
	if pad > end {
		return nil, 0, false
	}
	for i, b := range text[end-pad : end] {
		if b != byte(i+1) {
			return nil, 0, false
		}
	}
	return text[:end-pad], text[end+1], true
}

// Clear forgets the key. It is for when no goroutine can be using the SA any more: one that still did would panic. The keys in the ChildSA are its owner's to clear.
func (in *Inbound) Clear() { in.clear() }
