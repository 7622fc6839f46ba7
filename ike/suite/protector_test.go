package suite

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"culvert/ike/wire"
)

// protection is a valid pair of encryption and integrity algorithms.
type protection struct{ encr, integ wire.Transform }

func (p protection) String() string {
	return IKEProposalName(wire.Proposal{Transforms: []wire.Transform{p.encr, p.integ}})
}

func protections() []protection {
	all := []protection{{encr: words["chacha20poly1305"]}}
	for _, bits := range aesKeyBits {
		for _, id := range []wire.TransformID{wire.EncrAESGCM8, wire.EncrAESGCM12, wire.EncrAESGCM16, wire.EncrAESCCM8, wire.EncrAESCCM12, wire.EncrAESCCM16} {
			all = append(all, protection{encr: encrWord(id, bits)})
		}
		for _, id := range slices.Sorted(maps.Keys(integrities)) {
			integ := wire.Transform{Type: wire.TransformINTEG, ID: id}
			all = append(all, protection{encrWord(wire.EncrAESCBC, bits), integ}, protection{encrWord(wire.EncrAESCTR, bits), integ})
		}
	}
	return all
}

// keys returns fixed keys.
func (p protection) keys(t testing.TB) (ske, ska []byte) {
	t.Helper()
	e, err := encryptionOf(p.encr)
	if err != nil {
		t.Fatal(err)
	}
	r := mathrand.NewChaCha8([32]byte{byte(p.encr.KeyLength), byte(p.integ.ID)})
	ske, ska = make([]byte, e.keyLen(p.encr)), make([]byte, integrities[p.integ.ID].keyLen)
	r.Read(ske)
	r.Read(ska)
	return ske, ska
}

func (p protection) protector(t testing.TB, r io.Reader) *Protector {
	t.Helper()
	ske, ska := p.keys(t)
	out, err := NewProtector(p.encr, p.integ, ske, ska, r)
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	return out
}

var testHeader = wire.Header{
	InitiatorSPI: 0xc0c1c2c3c4c5c6c7, ResponderSPI: 0xd0d1d2d3d4d5d6d7, MajorVersion: 2, Exchange: wire.Informational, MessageID: 9,
}

var windowSize = &wire.Notify{Kind: wire.SetWindowSize, Data: []byte{0, 0, 0, 10}}

func vendorID(n int) *wire.VendorID {
	v := &wire.VendorID{Data: make([]byte, n)}
	for i := range v.Data {
		v.Data[i] = byte(i)
	}
	return v
}

// sealed parses a sealed message and returns its SK payload.
func sealed(t testing.TB, raw []byte) *wire.Encrypted {
	t.Helper()
	m, err := wire.Parse(raw)
	if err != nil {
		t.Fatalf("%x: %v", raw, err)
	}
	return payload[*wire.Encrypted](t, m.Payloads)
}

func TestSealOpen(t *testing.T) {
	for _, p := range protections() {
		out, in := p.protector(t, rand.Reader), p.protector(t, nil)
		for n := range 40 {
			var inner []wire.Payload
			if n > 0 {
				inner = []wire.Payload{windowSize, vendorID(n)}
			}
			raw, err := out.SealMessage(testHeader, inner)
			if err != nil {
				t.Fatalf("%v: %v", p, err)
			}
			before := bytes.Clone(raw)
			ps, err := in.Open(raw, sealed(t, raw))
			if err != nil || !bytes.Equal(wire.AppendPayloads(nil, ps), wire.AppendPayloads(nil, inner)) {
				t.Errorf("%v: opened as %s, %v", p, wire.FormatPayloads(ps), err)
			}
			if !bytes.Equal(raw, before) {
				t.Errorf("%v: opening changed the message", p)
			}
			if want := wire.HeaderLen + wire.PayloadHeaderLen + out.box.sealedLen(len(wire.AppendPayloads(nil, inner))); len(raw) != want || cap(raw) != want {
				t.Errorf("%v: the message has %d octets of %d, want %d", p, len(raw), cap(raw), want)
			}
		}
	}
}

// TestBitFlips flips each bit of a protected message: only the message itself may open.
func TestBitFlips(t *testing.T) {
	for _, p := range protections() {
		out, in := p.protector(t, rand.Reader), p.protector(t, nil)
		raw, err := out.SealMessage(testHeader, []wire.Payload{windowSize})
		if err != nil {
			t.Fatal(err)
		}
		n := len(raw) - len(sealed(t, raw).Body)
		for bit := range 8 * len(raw) {
			raw[bit/8] ^= 1 << (bit % 8)
			if ps, err := in.Open(raw, &wire.Encrypted{First: wire.PayloadNotify, Body: raw[n:]}); err != ErrAuth || ps != nil {
				t.Errorf("%v: with bit %d flipped: %v, %v", p, bit, ps, err)
			}
			raw[bit/8] ^= 1 << (bit % 8)
		}
		if _, err := in.Open(raw, sealed(t, raw)); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// TestWrongLengths truncates the message at every octet, and extends it.
func TestWrongLengths(t *testing.T) {
	for _, p := range protections() {
		out, in := p.protector(t, rand.Reader), p.protector(t, nil)
		raw, err := out.SealMessage(testHeader, []wire.Payload{vendorID(50)})
		if err != nil {
			t.Fatal(err)
		}
		body := sealed(t, raw).Body
		at := len(raw) - len(body)
		for n := range body {
			if _, err := in.Open(raw[:at+n], &wire.Encrypted{First: wire.PayloadVendor, Body: body[:n]}); err != ErrAuth {
				t.Errorf("%v: with %d octets of %d: %v", p, n, len(body), err)
			}
		}
		longer := append(bytes.Clone(raw), 0)
		if _, err := in.Open(longer, &wire.Encrypted{First: wire.PayloadVendor, Body: longer[at:]}); err != ErrAuth {
			t.Errorf("%v: with an octet more: %v", p, err)
		}
		if _, err := in.Open(raw[at:], &wire.Encrypted{Body: body}); err != ErrAuth {
			t.Errorf("%v: without a header: %v", p, err)
		}
		if _, err := in.Open(raw[:3], &wire.Encrypted{Body: body}); err != ErrAuth {
			t.Errorf("%v: a body longer than the message: %v", p, err)
		}
	}
}

// TestKeysDiffer: a message opens only with the keys of its own direction.
func TestKeysDiffer(t *testing.T) {
	for _, p := range protections() {
		raw, err := p.protector(t, rand.Reader).SealMessage(testHeader, []wire.Payload{windowSize})
		if err != nil {
			t.Fatal(err)
		}
		ske, ska := p.keys(t)
		keys := [][]byte{ske}
		if len(ska) > 0 {
			keys[0] = ska // with an integrity algorithm, its key decides
		}
		for i := range keys[0] {
			keys[0][i] ^= 0x80
			in, err := NewProtector(p.encr, p.integ, ske, ska, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.Open(raw, sealed(t, raw)); err != ErrAuth {
				t.Errorf("%v: with octet %d of the key changed: %v", p, i, err)
			}
			keys[0][i] ^= 0x80
		}
	}
}

// TestClearedKeys: a Protector does not depend on the keys passed to NewProtector.
func TestClearedKeys(t *testing.T) {
	for _, p := range protections() {
		ske, ska := p.keys(t)
		in, err := NewProtector(p.encr, p.integ, ske, ska, nil)
		if err != nil {
			t.Fatal(err)
		}
		clear(ske)
		clear(ska)
		raw, err := p.protector(t, rand.Reader).SealMessage(testHeader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Open(raw, sealed(t, raw)); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// sealRaw protects content that SealMessage would not produce: padding included, of any length.
func sealRaw(t *testing.T, p protection, first wire.PayloadType, padded []byte) []byte {
	t.Helper()
	box := p.protector(t, rand.Reader).box
	size := box.sealedLen(max(len(padded)-1, 0))
	if c, ok := box.(*cbcBox); ok {
		size = c.block.BlockSize() + len(padded) + c.icvLen
	} else if len(padded) == 0 {
		size--
	}
	h := testHeader
	h.NextPayload, h.Length = wire.PayloadSK, uint32(wire.HeaderLen+wire.PayloadHeaderLen+size)
	head := wire.AppendPayloadHeader(h.AppendTo(nil), first, false, wire.PayloadHeaderLen+size)
	switch b := box.(type) {
	case *aeadBox:
		iv := make([]byte, ivLen)
		return b.aead.Seal(append(bytes.Clone(head), iv...), b.nonce(iv), padded, head)
	case *cbcBox:
		out := append(head, make([]byte, b.block.BlockSize())...) // an IV of zeros
		chain := out[len(head):]
		for block := range slices.Chunk(padded, b.block.BlockSize()) {
			if len(block) < b.block.BlockSize() {
				out = append(out, block...)
				break
			}
			next := make([]byte, len(block))
			for i := range block {
				next[i] = block[i] ^ chain[i]
			}
			b.block.Encrypt(next, next)
			out, chain = append(out, next...), next
		}
		return append(out, b.icv(out)...)
	case *ctrBox:
		out := append(append(head, make([]byte, ivLen)...), padded...)
		cipher.NewCTR(b.block, append(append(bytes.Clone(b.salt), make([]byte, ivLen)...), 0, 0, 0, 1)).XORKeyStream(out[len(head)+ivLen:], padded)
		return append(out, b.icv(out)...)
	}
	t.Fatal("unknown box")
	return nil
}

// TestMalformedInside: the error tells a genuine message with malformed payloads from a forged one.
func TestMalformedInside(t *testing.T) {
	for _, p := range protections() {
		out := p.protector(t, rand.Reader)
		raw, err := out.seal(testHeader, wire.PayloadSK, wire.PayloadNotify, nil, []byte{0, 0, 0, 200})
		if err != nil {
			t.Fatal(err)
		}
		var malformed *wire.Error
		if _, err := out.Open(raw, sealed(t, raw)); errors.Is(err, ErrAuth) || !errors.As(err, &malformed) || malformed.Notify != wire.InvalidSyntax {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// TestIVs: IVs do not repeat, even for the same message.
func TestIVs(t *testing.T) {
	for _, p := range protections() {
		out := p.protector(t, rand.Reader)
		size := ivLen
		if _, ok := out.box.(*cbcBox); ok {
			size = 16
		}
		seen := map[string]bool{}
		for range 300 {
			raws, err := out.SealFragments(testHeader, []wire.Payload{vendorID(100)}, 180)
			if err != nil {
				t.Fatal(err)
			}
			for _, raw := range raws {
				at := wire.HeaderLen + wire.PayloadHeaderLen
				if len(raws) > 1 {
					at += wire.FragmentHeaderLen
				}
				iv := string(raw[at : at+size])
				if seen[iv] {
					t.Fatalf("%v: IV %x came twice", p, iv)
				}
				seen[iv] = true
			}
		}
	}
}

func TestExhausted(t *testing.T) {
	p := protection{encr: encrWord(wire.EncrAESGCM16, 128)}.protector(t, nil)
	p.box.(*aeadBox).next = math.MaxUint64 - 1
	if _, err := p.SealMessage(testHeader, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if raw, err := p.SealMessage(testHeader, nil); err != ErrExhausted || raw != nil {
			t.Errorf("sealed with a used-up counter: %x, %v", raw, err)
		}
	}
}

func TestNoRandomness(t *testing.T) {
	p := protection{encrWord(wire.EncrAESCBC, 128), words["sha256"]}.protector(t, iotest.ErrReader(io.ErrUnexpectedEOF))
	if raw, err := p.SealMessage(testHeader, nil); !errors.Is(err, io.ErrUnexpectedEOF) || raw != nil {
		t.Errorf("sealed without an IV: %x, %v", raw, err)
	}
	if raws, err := p.SealFragments(testHeader, []wire.Payload{vendorID(500)}, 300); !errors.Is(err, io.ErrUnexpectedEOF) || raws != nil {
		t.Errorf("sealed fragments without an IV: %x, %v", raws, err)
	}
}

func TestNewProtectorRefuses(t *testing.T) {
	key := func(n int) []byte { return make([]byte, n) }
	gcm, cbc, sha256 := encrWord(wire.EncrAESGCM16, 128), encrWord(wire.EncrAESCBC, 128), words["sha256"]
	with := func(t wire.Transform, bits uint16) wire.Transform { t.KeyLength = bits; return t }
	unknown := gcm
	unknown.UnknownAttribute = true
	for i, c := range []struct {
		encr, integ wire.Transform
		ske, ska    []byte
	}{
		{gcm, wire.Transform{}, key(16), nil}, {gcm, wire.Transform{}, nil, nil}, {gcm, wire.Transform{}, key(20), key(32)},
		{gcm, sha256, key(20), key(32)}, {cbc, wire.Transform{}, key(16), nil}, {cbc, wire.Transform{Type: wire.TransformINTEG}, key(16), nil},
		{cbc, sha256, key(16), key(31)}, {cbc, sha256, key(16), nil}, {cbc, sha256, key(20), key(32)},
		{with(gcm, 0), wire.Transform{}, key(4), nil}, {with(gcm, 1), wire.Transform{}, key(4), nil}, {with(gcm, 65535), wire.Transform{}, key(8195), nil},
		{with(words["chacha20poly1305"], 256), wire.Transform{}, key(36), nil}, {unknown, wire.Transform{}, key(20), nil},
		{cbc, with(sha256, 256), key(16), key(32)}, {sha256, wire.Transform{}, key(20), nil}, {cbc, wire.Transform{Type: wire.TransformINTEG, ID: 99}, key(16), nil},
		{wire.Transform{Type: wire.TransformENCR, ID: wire.EncrNULL}, sha256, nil, key(32)},
	} {
		if p, err := NewProtector(c.encr, c.integ, c.ske, c.ska, rand.Reader); err == nil || p != nil {
			t.Errorf("case %d: %v with %v and keys of %d and %d octets was accepted", i, c.encr, c.integ, len(c.ske), len(c.ska))
		}
	}
}

func TestTooLong(t *testing.T) {
	p := protection{encr: encrWord(wire.EncrAESGCM16, 128)}.protector(t, nil)
	inner := []wire.Payload{vendorID(60000), vendorID(60000)}
	if _, err := p.SealMessage(testHeader, inner); err == nil {
		t.Error("a message of 120 kB was made")
	}
	if _, err := p.SealFragments(testHeader, inner, 0); err == nil {
		t.Error("a message of 120 kB was made")
	}
	raws, err := p.SealFragments(testHeader, inner, 1<<20)
	if err == nil {
		t.Errorf("a message of 120 kB was made, %d datagrams", len(raws))
	}
}

func ExampleProtector() {
	key := make([]byte, 36) // SK_e and its salt
	encr := wire.Transform{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305}
	ours, _ := NewProtector(encr, wire.Transform{}, key, nil, rand.Reader)
	theirs, _ := NewProtector(encr, wire.Transform{}, key, nil, rand.Reader)

	h := wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Exchange: wire.Informational, Initiator: true}
	raw, _ := ours.SealMessage(h, []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}})

	m, _ := wire.Parse(raw)
	inner, err := theirs.Open(raw, m.Payloads[0].(*wire.Encrypted))
	fmt.Println(m, "holding", wire.FormatPayloads(inner), err)
	// Output: INFORMATIONAL request 0 {SK} holding D(IKE) <nil>
}
