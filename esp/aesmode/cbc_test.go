package aesmode

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"
)

func TestCBCVectors(t *testing.T) {
	for _, f := range vectors(t, "rfc3602.txt", 8) {
		block, err := aes.NewCipher(unhex(t, f[0]))
		if err != nil {
			t.Fatal(err)
		}
		iv, text := unhex(t, f[1]), unhex(t, f[2])
		EncryptCBC(block, iv, text)
		if want := unhex(t, f[3]); !bytes.Equal(text, want) {
			t.Errorf("encrypted\n%x, want\n%x", text, want)
		}
		DecryptCBC(block, iv, text)
		if want := unhex(t, f[2]); !bytes.Equal(text, want) {
			t.Errorf("decrypted\n%x, want\n%x", text, want)
		}
	}
}

func TestCBCAgainstStandard(t *testing.T) {
	block, _ := aes.NewCipher(octets(32))
	iv := octets(16)
	for n := 0; n < 400; n += 16 {
		text, want := octets(n), octets(n)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(want, want)
		if EncryptCBC(block, iv, text); !bytes.Equal(text, want) {
			t.Fatalf("%d octets: encrypted\n%x, want\n%x", n, text, want)
		}
		if DecryptCBC(block, iv, text); !bytes.Equal(text, octets(n)) {
			t.Fatalf("%d octets: decrypted\n%x, want\n%x", n, text, octets(n))
		}
	}
	if !bytes.Equal(iv, octets(16)) {
		t.Error("the IV changed")
	}
}
