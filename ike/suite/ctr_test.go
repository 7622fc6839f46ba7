package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"math"
	"slices"
	"testing"

	"culvert/ike/wire"
)

// TestCTRMessage opens messages by plain code: key and nonce from SK_e, the IV in front, counter
// blocks from 1 on, no padding, and an HMAC over all before it (RFC 5930; RFC 7296, Section 3.14).
func TestCTRMessage(t *testing.T) {
	p := protection{words["aes256ctr"], words["sha256"]}
	ske, ska := p.keys(t)
	if len(ske) != 32+4 {
		t.Fatalf("a key of %d octets, want 36 with the nonce", len(ske))
	}
	out := p.protector(t, nil)
	var ivs []string
	for range 3 {
		raw, err := out.SealMessage(testHeader, []wire.Payload{windowSize})
		if err != nil {
			t.Fatal(err)
		}
		body := sealed(t, raw).Body
		iv, text, icv := body[:8], bytes.Clone(body[8:len(body)-16]), body[len(body)-16:]
		block, _ := aes.NewCipher(ske[:32])
		cipher.NewCTR(block, slices.Concat(ske[32:], iv, []byte{0, 0, 0, 1})).XORKeyStream(text, text)
		if want := append(wire.AppendPayloads(nil, []wire.Payload{windowSize}), 0); !bytes.Equal(text, want) {
			t.Errorf("inside is %x, want %x", text, want)
		}
		h := hmac.New(sha256.New, ska)
		h.Write(raw[:len(raw)-16])
		if !bytes.Equal(h.Sum(nil)[:16], icv) {
			t.Errorf("ICV %x", icv)
		}
		if ivs = append(ivs, string(iv)); slices.Contains(ivs[:len(ivs)-1], string(iv)) {
			t.Errorf("IV %x comes twice", iv)
		}
	}
	out.box.(*ctrBox).next = math.MaxUint64
	if _, err := out.SealMessage(testHeader, nil); !errors.Is(err, ErrExhausted) {
		t.Errorf("after the last IV: %v", err)
	}
}
