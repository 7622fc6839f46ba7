package suite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"culvert/ike/wire"
)

// ErrAuth says that a message is not from the peer, or not as the peer sent it. It must be dropped without an answer, and nothing may change.
var ErrAuth = errors.New("message authentication failed")

// ErrExhausted says that no message more may be protected with these keys.
var ErrExhausted = errors.New("the keys of the IKE SA are used up")

// Protector protects one direction of an IKE SA by SK{} and SKF{} payloads (RFC 7296, Section 3.14; RFC 5282; RFC 7383): it seals what we send,
// or opens what the peer sends. It keeps no key, only ciphers made of them. It is not for use by several goroutines at a time.
type Protector struct{ box box }

// box is the cipher of a Protector.
type box interface {
	// sealedLen is the length of IV, ciphertext, padding and ICV for n octets of payloads.
	sealedLen(n int) int
	// maxPlain is the most octets of payloads whose sealedLen is at most room; negative or zero: none.
	maxPlain(room int) int
	// seal appends the protected payloads to all that stands before them in the message, which is authenticated too.
	// dst has the capacity.
	seal(dst, plain []byte) ([]byte, error)
	// open authenticates head and body, and returns body's plaintext in memory of its own, with padding and pad length.
	// aligned is false where the plaintext has not the length that the cipher demands. err is ErrAuth, or nil.
	open(head, body []byte) (padded []byte, aligned bool, err error)
}

// NewProtector makes a Protector. ske is the direction's SK_e with its salt, ska its SK_a, empty for an AEAD; integ is zero or NONE for an AEAD.
// rand gives the IVs of AES-CBC; those of AEADs are a counter. Nothing of the keys is kept, so that the caller may clear them.
func NewProtector(encr, integ wire.Transform, ske, ska []byte, rand io.Reader) (*Protector, error) {
	e, err := encryptionOf(encr)
	if err != nil {
		return nil, err
	}
	i, err := e.integrityFor(integ)
	if err != nil {
		return nil, err
	}
	if want := e.keyLen(encr); len(ske) != want || len(ska) != i.keyLen {
		return nil, fmt.Errorf("keys of %d and %d octets where %v takes %d and %d", len(ske), len(ska), encr, want, i.keyLen)
	}
	var b box
	if e.aead != nil {
		b, err = newAEADBox(e, ske)
	} else {
		b, err = newCBCBox(e, i, ske, ska, rand)
	}
	if err != nil {
		return nil, err
	}
	return &Protector{b}, nil
}

// SealMessage is the message of header h with the inner payloads in one SK payload. Of h the Next Payload and Length fields are filled in.
// Every call uses a new IV: a message that is sent again is to be kept.
func (p *Protector) SealMessage(h wire.Header, inner []wire.Payload) ([]byte, error) {
	return p.seal(h, wire.PayloadSK, wire.FirstType(inner), nil, wire.AppendPayloads(nil, inner))
}

// seal makes a message of one SK or SKF payload; fragment is what stands between an SKF payload's generic header and its IV.
func (p *Protector) seal(h wire.Header, kind, first wire.PayloadType, fragment, plain []byte) ([]byte, error) {
	length := wire.PayloadHeaderLen + len(fragment) + p.box.sealedLen(len(plain))
	if length > wire.MaxPayloadLen {
		return nil, fmt.Errorf("payloads of %d octets are too long to be encrypted", len(plain))
	}
	h.NextPayload, h.Length = kind, uint32(wire.HeaderLen+length)
	b := h.AppendTo(make([]byte, 0, wire.HeaderLen+length))
	b = wire.AppendPayloadHeader(b, first, false, length)
	return p.box.seal(append(b, fragment...), plain)
}

// SealFragments is SealMessage for datagrams of at most maxDatagram octets, counted from the IKE header: the caller has taken off IP and UDP headers and the
// non-ESP marker. What fits into one is one ordinary message; otherwise it returns the fragments in their order (RFC 7383, Section 2.5).
// A maxDatagram of zero or less is no limit.
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

// sealParts makes fragments of up to size octets of the payloads each.
func (p *Protector) sealParts(h wire.Header, first wire.PayloadType, plain []byte, size int) ([][]byte, error) {
	if size <= 0 {
		return nil, errors.New("datagrams are too small for a fragment")
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

// Open authenticates and decrypts the message raw, which sk was parsed from, and parses the payloads inside. raw is not changed, and the result
// shares no memory with it. The error is ErrAuth, or a *wire.Error where the message is genuine but malformed.
func (p *Protector) Open(raw []byte, sk *wire.Encrypted) ([]wire.Payload, error) {
	plain, err := p.open(raw, sk.Body, wire.PayloadSK)
	if err != nil {
		return nil, err
	}
	return wire.ParsePayloads(sk.First, plain)
}

// OpenFragment is Open for one fragment. The plaintexts of all fragments, in the order of their numbers, together are the payloads, for wire.ParsePayloads
// with the First of fragment 1.
func (p *Protector) OpenFragment(raw []byte, skf *wire.EncryptedFragment) ([]byte, error) {
	return p.open(raw, skf.Body, wire.PayloadSKF)
}

// open takes the message's protection and padding off. What stands before the body, payloads that are not encrypted included, is
// authenticated as it came (RFC 5282, Section 5.1). Padding is looked at only once the message is known to be genuine, so that it is no oracle.
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
		return nil, &wire.Error{Notify: wire.InvalidSyntax, Payload: kind, Offset: bodyAt, Text: "padding and content do not make up its length"}
	}
	return padded[:n-1-int(padded[n-1])], nil
}
