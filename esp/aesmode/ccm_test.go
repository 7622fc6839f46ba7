package aesmode

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestCCMVectors(t *testing.T) {
	for _, f := range vectors(t, "wycheproof_ccm.txt", 18) {
		m, err := NewCCM(unhex(t, f[2]), 16)
		if err != nil {
			t.Fatal(err)
		}
		a := AEAD(m)
		nonce, aad, text, sealed := unhex(t, f[3]), unhex(t, f[4]), unhex(t, f[5]), append(unhex(t, f[6]), unhex(t, f[7])...)
		if f[1] == "invalid" {
			if _, err := a.Open(nil, nonce, sealed, aad); err == nil {
				t.Errorf("number %s was opened", f[0])
			}
			continue
		}
		if got := a.Seal(nil, nonce, text, aad); !bytes.Equal(got, sealed) {
			t.Errorf("number %s: %x, want %x", f[0], got, sealed)
		}
		if got, err := a.Open(nil, nonce, sealed, aad); err != nil || !bytes.Equal(got, text) {
			t.Errorf("number %s: %v, %x, want %x", f[0], err, got, text)
		}
	}
}

// plainCCM is CCM as NIST SP 800-38C has it: the formatted input as one string, and crypto/cipher's
// modes over it.
func plainCCM(key, nonce, text, aad []byte, tagLen int) []byte {
	block, _ := aes.NewCipher(key)
	fill := func(b []byte) []byte { return append(b, make([]byte, (16-len(b)%16)%16)...) }
	flags := byte(8*((tagLen-2)/2) + 3)
	var data []byte
	if len(aad) > 0 {
		flags += 64
		data = fill(append(binary.BigEndian.AppendUint16(nil, uint16(len(aad))), aad...))
	}
	all := binary.BigEndian.AppendUint32(append([]byte{flags}, nonce...), uint32(len(text)))
	all = fill(append(append(all, data...), text...))
	cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(all, all)
	counter := append(append([]byte{3}, nonce...), 0, 0, 0, 0)
	out := append(append([]byte{}, all[len(all)-16:]...), text...)
	cipher.NewCTR(block, counter).XORKeyStream(out, out)
	return append(out[16:], out[:tagLen]...)
}

func TestCCMAgainstPlainCode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tagLen := range []int{8, 12, 16} {
		for n := range 120 {
			key := octets([]int{16, 24, 32}[r.IntN(3)])
			nonce, aad, text := octets(90)[r.IntN(79):][:11], octets(r.IntN(50)), octets(n)
			m, err := NewCCM(key, tagLen)
			if err != nil {
				t.Fatal(err)
			}
			if m.NonceLen() != 11 || m.TagLen() != tagLen {
				t.Fatalf("nonces of %d octets, tags of %d", m.NonceLen(), m.TagLen())
			}
			checkMode(t, fmt.Sprintf("CCM-%d", tagLen), m, nonce, text, aad, plainCCM(key, nonce, text, aad, tagLen))
		}
	}
}

// checkMode checks that m seals text to want and opens it, and nothing else.
func checkMode(t *testing.T, name string, m Mode, nonce, text, aad, want []byte) {
	t.Helper()
	a, n := AEAD(m), len(text)
	if got := a.Seal([]byte("head"), nonce, text, aad); string(got[:4]) != "head" || !bytes.Equal(got[4:], want) {
		t.Fatalf("%s: %d octets:\n%x, want\n%x", name, n, got[4:], want)
	}
	if got, err := a.Open([]byte("head"), nonce, want, aad); err != nil || string(got) != "head"+string(text) {
		t.Fatalf("%s: %d octets: opened %x, %v", name, n, got, err)
	}
	var w Work
	for i := range want {
		bad := bytes.Clone(want)
		bad[i] ^= 1 << (i % 8)
		if m.Open(&w, nonce, bad[:n], aad, bad[n:]) {
			t.Fatalf("%s: %d octets: octet %d was changed", name, n, i)
		}
		if n > 1 && bytes.Equal(bad[:n], text) {
			t.Fatalf("%s: %d octets: a forgery leaves the plaintext", name, n)
		}
	}
	if _, err := a.Open(nil, nonce, want[:m.TagLen()-1], aad); err == nil {
		t.Fatalf("%s: opened less than a tag", name)
	}
	if len(aad) > 0 && m.Open(&w, nonce, bytes.Clone(want[:n]), aad[1:], want[n:]) {
		t.Fatalf("%s: %d octets: other additional data", name, n)
	}
}

func TestCCMTagLengths(t *testing.T) {
	for n := range 20 {
		if _, err := NewCCM(octets(16), n); (err == nil) != (n == 8 || n == 12 || n == 16) {
			t.Errorf("a tag of %d octets: %v", n, err)
		}
	}
}

// Additional data whose length would need another form are a bug of the caller.
func TestCCMTooMuchData(t *testing.T) {
	m, _ := NewCCM(octets(16), 8)
	AEAD(m).Seal(nil, octets(11), nil, make([]byte, 0xfeff))
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	AEAD(m).Seal(nil, octets(11), nil, make([]byte, 0xff00))
}
