package suite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"culvert/ike/wire"
)

// ErrAuth means that a message is not from the peer, or was changed on its way. The message must be
// dropped without an answer and must not change any state.
var ErrAuth = errors.New("message authentication failed")

// ErrExhausted means that these keys must not protect another message.
var ErrExhausted = errors.New("the keys of the IKE SA are used up")

// Protector protects one direction of an IKE SA with SK{} and SKF{} payloads (RFC 7296, Section
// 3.14; RFC 5282; RFC 7383): it seals what this side sends, or opens what the peer sends. It keeps
// ciphers made from the keys, not the keys. It must not be used by several goroutines at a time.
type Protector struct{ box box }

// box is the cipher of a Protector.
type box interface {
	// sealedLen returns the length of IV, ciphertext, padding and ICV for n octets of payloads.
	sealedLen(n int) int
	// maxPlain returns the most octets of payloads whose sealedLen is at most room. Zero or less
	// means that none fit.
	maxPlain(room int) int
	// seal appends the protected payloads to dst, the part of the message before them, which it
	// authenticates as well. dst must have the capacity.
	seal(dst, plain []byte) ([]byte, error)
	// open authenticates head and body, and returns body's plaintext in memory of its own, with
	// padding and pad length. aligned is false if the length of the plaintext is wrong for the
	// cipher. err is ErrAuth or nil.
	open(head, body []byte) (padded []byte, aligned bool, err error)
}

// NewProtector returns a Protector. ske is the direction's SK_e with its salt, ska its SK_a, which
// is empty for an AEAD; integ is zero or NONE for an AEAD. rand supplies the IVs of AES-CBC; those
// of the others are a counter. The keys are not kept, so the caller may clear them.
func NewProtector(encr, integ wire.Transform, ske, ska []byte, rand io.Reader) (*Protector, error) {
	e, err := encryptionOfIKE(encr)
	if err != nil {
		return nil, err
	}
	i, err := e.integrityFor(integ)
	if err != nil {
		return nil, err
	}
	if want := e.keyLen(encr); len(ske) != want || len(ska) != i.keyLen {
		return nil, fmt.Errorf("keys of %d and %d octets; %v needs %d and %d", len(ske), len(ska), encr, want, i.keyLen)
	}
	var b box
	switch {
	case e.aead != nil:
		b, err = newAEADBox(e, ske)
	case e.counter:
		b, err = newCTRBox(e, i, ske, ska)
	default:
		b, err = newCBCBox(i, ske, ska, rand)
	}
	if err != nil {
		return nil, err
	}
	return &Protector{b}, nil
}

// SealMessage returns a message with header h and the inner payloads in one SK payload. It fills in
// the Next Payload and Length fields of h. Each call uses a new IV, so the caller keeps the message
// for retransmissions.
func (p *Protector) SealMessage(h wire.Header, inner []wire.Payload) ([]byte, error) {
	return p.seal(h, wire.PayloadSK, wire.FirstType(inner), nil, wire.AppendPayloads(nil, inner))
}

// seal returns a message with one SK or SKF payload. fragment is the part of an SKF payload between
// its generic header and its IV.
func (p *Protector) seal(h wire.Header, kind, first wire.PayloadType, fragment, plain []byte) ([]byte, error) {
	length := wire.PayloadHeaderLen + len(fragment) + p.box.sealedLen(len(plain))
	if length > wire.MaxPayloadLen {
		return nil, fmt.Errorf("payloads of %d octets are too long for an encrypted payload", len(plain))
	}
	h.NextPayload, h.Length = kind, uint32(wire.HeaderLen+length)
	b := h.AppendTo(make([]byte, 0, wire.HeaderLen+length))
	b = wire.AppendPayloadHeader(b, first, false, length)
	return p.box.seal(append(b, fragment...), plain)
}

// SealFragments is SealMessage for datagrams of at most maxDatagram octets, counted from the IKE
// header: without IP and UDP headers and the non-ESP marker. It returns one ordinary message if
// that fits, and otherwise the fragments in order (RFC 7383, Section 2.5). If maxDatagram is zero
// or less, there is no limit.
func (p *Protector) SealFragments(h wire.Header, inner []wire.Payload, maxDatagram int) ([][]byte, error) {
	first, plain := wire.FirstType(inner), wire.AppendPayloads(nil, inner)
	whole := wire.HeaderLen + wire.PayloadHeaderLen + p.box.sealedLen(len(plain))
	if maxDatagram <= 0 || whole <= maxDatagram {
		b, err := p.seal(h, wire.PayloadSK, first, nil, plain)
		if err != nil {
			return nil, err
		}
		return [][]byte{b}, nil
	}
	room := min(maxDatagram-wire.HeaderLen, wire.MaxPayloadLen) - wire.PayloadHeaderLen - wire.FragmentHeaderLen
	return p.sealParts(h, first, plain, p.box.maxPlain(room))
}

// sealParts returns fragments that hold up to size octets of the payloads each.
func (p *Protector) sealParts(h wire.Header, first wire.PayloadType, plain []byte, size int) ([][]byte, error) {
	if size <= 0 {
		return nil, errors.New("the datagram size is too small for a fragment")
	}
	total := (len(plain) + size - 1) / size
	if total > 0xffff {
		return nil, fmt.Errorf("payloads of %d octets are too long for fragments of %d", len(plain), size)
	}
	fragments := make([][]byte, 0, total)
	for n := 1; n <= total; n++ {
		part := plain[:min(size, len(plain))]
		plain = plain[len(part):]
		numbers := binary.BigEndian.AppendUint16(make([]byte, 0, wire.FragmentHeaderLen), uint16(n))
		numbers = binary.BigEndian.AppendUint16(numbers, uint16(total))
		b, err := p.seal(h, wire.PayloadSKF, first, numbers, part)
		if err != nil {
			return nil, err
		}
		fragments = append(fragments, b)
		first = wire.NoNextPayload
	}
	return fragments, nil
}

// Open authenticates and decrypts the message raw, from which sk was parsed, and parses the
// payloads inside. It does not change raw, and the result shares no memory with it. The error is
// ErrAuth, or a *wire.Error if the message is genuine but malformed.
func (p *Protector) Open(raw []byte, sk *wire.Encrypted) ([]wire.Payload, error) {
	plain, err := p.open(raw, sk.Body, wire.PayloadSK)
	if err != nil {
		return nil, err
	}
	return wire.ParsePayloads(sk.First, plain)
}

// OpenFragment is Open for one fragment. The plaintexts of all fragments, concatenated in the order
// of their numbers, are the payloads: pass them to wire.ParsePayloads with the First of fragment 1.
func (p *Protector) OpenFragment(raw []byte, skf *wire.EncryptedFragment) ([]byte, error) {
	return p.open(raw, skf.Body, wire.PayloadSKF)
}

// open returns the payloads without protection and padding. Everything before the body, including
// unencrypted payloads, is authenticated as received (RFC 5282, Section 5.1). Padding is checked
// only after the message is known to be genuine, so that the check cannot serve as an oracle.
func (p *Protector) open(raw, body []byte, kind wire.PayloadType) ([]byte, error) {
	bodyAt := len(raw) - len(body)
	if bodyAt < wire.HeaderLen {
		return nil, ErrAuth
	}
	padded, aligned, err := p.box.open(raw[:bodyAt], raw[bodyAt:])
	if err != nil {
		return nil, err
	}
	n := len(padded)
	if !aligned || n == 0 || int(padded[n-1]) > n-1 {
		return nil, &wire.Error{Notify: wire.InvalidSyntax, Payload: kind, Offset: bodyAt, Text: "invalid padding or length of the encrypted content"}
	}
	return padded[:n-1-int(padded[n-1])], nil
}
