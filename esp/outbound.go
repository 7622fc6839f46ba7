package esp

import (
	"encoding/binary"
	"errors"
	"math"
	"sync/atomic"
)

// ErrExhausted means that an SA is at its end: its sequence numbers or one of its hard limits are
// used up. It can send nothing more.
var ErrExhausted = errors.New("esp: sequence numbers or hard lifetime used up")

// ErrNotAllowed means that the next sequence numbers may not be used yet. They may be later.
var ErrNotAllowed = errors.New("esp: the next sequence numbers are not allowed yet")

// An Outbound is the sending direction of an SA. Its methods are safe for concurrent use with a
// Scratch for each goroutine, except Clear.
//
// Sequence numbers are reserved in runs, then used by Seal, each once. The IV is the 64-bit
// sequence number, from SA.IVStart on, even if the peer sees only its low half. RFC 4106,
// Section 3.1: "For a given key, the IV MUST NOT repeat. The most natural way to implement this is
// with a counter"; RFC 8750 does the same without sending it. No nonce repeats under a key: Reserve
// hands out no number twice, is never set back, and ends before it would wrap. Every negotiated SA
// has fresh keys, so none repeats after a rekey or a restart. With AES-CBC the IV is made from the
// same number, but nobody can foretell it: see cbc.
type Outbound struct {
	keyed
	ivStart uint64
	limits  thresholds
	allowed atomic.Uint64 // the last one that may be reserved; at most limits.hardPackets

	_   [cacheLine]byte
	seq atomic.Uint64 // the last one reserved; at most allowed
	octetMeter
	_ [cacheLine]byte
}

// lastSequence returns the last usable sequence number (RFC 4303, Section 3.3.3: "the counter [must
// not] cycle").
func lastSequence(esn bool) uint64 {
	if esn {
		return math.MaxUint64
	}
	return math.MaxUint32
}

// NewOutbound returns the sending direction of sa, and keeps no reference to sa. Bad values give
// ErrSPI, ErrKey or ErrCipher.
func NewOutbound(sa *SA) (*Outbound, error) {
	k, err := newKeyed(sa.SPI, sa.Cipher, sa.Key, sa.ESN)
	if err != nil {
		return nil, err
	}
	o := &Outbound{keyed: k, ivStart: sa.IVStart, limits: newThresholds(sa.Limits, lastSequence(sa.ESN))}
	o.put(sa.State)
	if o.allowed.Store(o.limits.hardPackets); sa.Allowed != 0 {
		o.allowed.Store(max(min(sa.Allowed, o.limits.hardPackets), o.seq.Load()))
	}
	return o, nil
}

// Allow lets the sequence numbers up to last be used, of an SA that had to wait (SA.Allowed).
// None that was allowed before is taken back.
func (o *Outbound) Allow(last uint64) { raise(&o.allowed, min(last, o.limits.hardPackets)) }

// refusal returns why count numbers after last cannot be reserved.
func (o *Outbound) refusal(count, last uint64) error {
	if count > o.limits.hardPackets-last {
		return ErrExhausted
	}
	return ErrNotAllowed
}

// SPI returns the SPI of the packets.
func (o *Outbound) SPI() uint32 { return o.spi }

// Used returns what Reserve has handed out.
func (o *Outbound) Used() Usage { return Usage{Packets: o.seq.Load(), Octets: o.octets.Load()} }

// Reserve takes the next n sequence numbers, first to first+n-1, for packets of octets in all. soft
// is true for the reservation that reaches a soft limit, and for no other (once for packets, once
// for octets). If they do not all fit before the end, it reserves nothing and returns ErrExhausted,
// or ErrNotAllowed if they fit but may not be used yet. The count never moves past the end, so no
// race of callers can wrap it.
func (o *Outbound) Reserve(n, octets int) (first uint64, soft bool, err error) {
	count, size := uint64(n), uint64(octets)
	total, ok := o.octetMeter.add(size, o.limits.hardOctets)
	if !ok {
		return 0, false, ErrExhausted
	}
	for {
		last := o.seq.Load()
		if count > o.allowed.Load()-last {
			o.octets.Add(-size)
			return 0, false, o.refusal(count, last)
		}
		if o.seq.CompareAndSwap(last, last+count) {
			soft = reached(last+count, count, o.limits.softPackets) || reached(total, size, o.limits.softOctets)
			return last + 1, soft, nil
		}
	}
}

// Seal writes the packet of payload, with the reserved sequence number seq, to dst and returns it:
// dst[:SealedLen(len(payload))]. next is the protocol of payload. Seal panics if the capacity of
// dst is smaller than that. payload may be
//
//   - in place: at dst[Headroom():];
//   - elsewhere, not overlapping dst. With at least Tailroom octets of capacity behind it, it is
//     encrypted straight across by AES-GCM-16 and ChaCha20-Poly1305: these octets hold the trailer
//     meanwhile, and are then restored. With less, and by other ciphers, it is first copied into
//     dst.
//
// The segments of a super-packet are thus sealed one after the other, each into its place in the
// send buffer, out of one read buffer.
func (o *Outbound) Seal(s *Scratch, dst []byte, seq uint64, payload []byte, next uint8) []byte {
	return o.seal(s, dst, seq, o.ivStart+seq, payload, next)
}

// seal is Seal with a separate IV, for the published vectors.
func (o *Outbound) seal(s *Scratch, dst []byte, seq, iv uint64, payload []byte, next uint8) []byte {
	if !o.across {
		return o.sealOther(s, dst, seq, iv, payload, next)
	}
	n := len(payload)
	size := usualPadded(n)
	dst = dst[:usualHeadroom+size+usualICV]
	binary.BigEndian.PutUint32(dst, o.spi)
	binary.BigEndian.PutUint32(dst[4:], uint32(seq))
	binary.BigEndian.PutUint64(dst[HeaderLen:], iv)
	inPlace := n == 0 || &dst[usualHeadroom] == &payload[0]
	if !inPlace && cap(payload)-n >= Tailroom {
		behind := payload[n : n+Tailroom]
		saved := binary.LittleEndian.Uint64(behind)
		putTrailer(behind, size-n, next)
		o.keyed.seal(s, dst, payload[:size], seq)
		binary.LittleEndian.PutUint64(behind, saved)
		return dst
	}
	text := dst[usualHeadroom : usualHeadroom+size]
	if !inPlace {
		copy(text, payload)
	}
	putTrailer(dst[usualHeadroom+n:], size-n, next) // and into the room of the ICV, which is written later
	o.keyed.seal(s, dst, text, seq)
	return dst
}

// sealOther is seal for ciphers that encrypt in place only.
func (o *Outbound) sealOther(s *Scratch, dst []byte, seq, iv uint64, payload []byte, next uint8) []byte {
	dst = dst[:o.SealedLen(len(payload))]
	binary.BigEndian.PutUint32(dst, o.spi)
	binary.BigEndian.PutUint32(dst[4:], uint32(seq))
	text := o.Format.text(dst)
	if n := len(payload); n > 0 && &text[0] != &payload[0] {
		copy(text, payload)
	}
	putPadding(text[len(payload):], next)
	o.other.putIV(dst[HeaderLen:o.Headroom()], iv)
	o.other.seal(&o.keyed, s, dst, text, seq)
	return dst
}

// Clear forgets the key. No goroutine may use the SA any more: one that did would panic. The keys
// in the SA remain for their owner to clear.
func (o *Outbound) Clear() { o.clear() }
