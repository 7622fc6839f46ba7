package esp

import (
	"maps"
	"slices"
	"testing"
)

// allCiphers returns every cipher that there is, in a fixed order.
func allCiphers() (list []Cipher) {
	auths := append([]uint16{0}, slices.Sorted(maps.Keys(integrities))...)
	for _, id := range slices.Sorted(maps.Keys(encryptions)) {
		for _, bits := range encryptions[id].keyBits {
			for _, auth := range auths {
				if c := (Cipher{id, bits, auth}); c.KeyLen() > 0 {
					list = append(list, c)
				}
			}
		}
	}
	return list
}

func TestCipher(t *testing.T) {
	for _, c := range []struct {
		c          Cipher
		name       string
		encr, auth int
		format     Format
	}{
		{Cipher{AESGCM16, 128, 0}, "aes128gcm16", 20, 0, Format{8, 16, 4}},
		{Cipher{AESGCM16, 192, 0}, "aes192gcm16", 28, 0, Format{8, 16, 4}},
		{Cipher{AESGCM16, 256, 0}, "aes256gcm16", 36, 0, Format{8, 16, 4}},
		{Cipher{ChaCha20Poly1305, 256, 0}, "chacha20poly1305", 36, 0, Format{8, 16, 4}},
		{Cipher{AESGCM12, 256, 0}, "aes256gcm12", 36, 0, Format{8, 12, 4}},
		{Cipher{AESGCM8, 128, 0}, "aes128gcm8", 20, 0, Format{8, 8, 4}},
		{Cipher{AESCCM16, 128, 0}, "aes128ccm16", 19, 0, Format{8, 16, 4}},
		{Cipher{AESCCM12, 192, 0}, "aes192ccm12", 27, 0, Format{8, 12, 4}},
		{Cipher{AESCCM8, 256, 0}, "aes256ccm8", 35, 0, Format{8, 8, 4}},
		{Cipher{NULLAuthAESGMAC, 192, 0}, "aes192gmac", 28, 0, Format{8, 16, 4}},
		{Cipher{AESCBC, 256, HMACSHA256}, "aes256-sha256", 32, 32, Format{16, 16, 16}},
		{Cipher{AESCBC, 128, HMACSHA1}, "aes128-sha1", 16, 20, Format{16, 12, 16}},
		{Cipher{AESCTR, 128, HMACSHA384}, "aes128ctr-sha384", 20, 48, Format{8, 24, 4}},
		{Cipher{NULL, 0, HMACSHA512}, "null-sha512", 0, 64, Format{0, 32, 4}},
		{Cipher{AESCBC, 128, 0}, "encryption 12 with 128 bits", 0, 0, Format{}},
		{Cipher{AESCBC, 100, HMACSHA256}, "encryption 12 with 100 bits and integrity 12", 0, 0, Format{}},
		{Cipher{AESGCM16, 128, HMACSHA256}, "encryption 20 with 128 bits and integrity 12", 0, 0, Format{}},
		{Cipher{NULL, 0, 0}, "encryption 11 with 0 bits", 0, 0, Format{}},
		{Cipher{NULL, 128, HMACSHA256}, "encryption 11 with 128 bits and integrity 12", 0, 0, Format{}},
	} {
		encr, auth := c.c.KeyLens()
		if c.c.String() != c.name || encr != c.encr || auth != c.auth || c.c.KeyLen() != encr+auth || c.c.Format() != c.format {
			t.Errorf("%v: keys of %d and %d octets, %+v; want %s, %d, %d, %+v", c.c, encr, auth, c.c.Format(), c.name, c.encr, c.auth, c.format)
		}
	}
	if n := len(allCiphers()); n != 3*7+1+3*4*2+4 {
		t.Errorf("%d ciphers", n)
	}
}

func TestCipherNamed(t *testing.T) {
	for _, c := range allCiphers() {
		if got, ok := CipherNamed(c.String()); !ok || got != c {
			t.Errorf("%s: %v, %v", c, got, ok)
		}
	}
	for _, name := range []string{"", "aes", "aes128", "sha256", "aes128gcm16-sha256", "null", "encryption 12 with 128 bits"} {
		if got, ok := CipherNamed(name); ok {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestEncrypts(t *testing.T) {
	for _, c := range allCiphers() {
		if want := c.ID != 11 && c.ID != 21; c.Encrypts() != want {
			t.Errorf("%s: %v", c, c.Encrypts())
		}
	}
}
