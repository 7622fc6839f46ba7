package aesgcm

import (
	"bytes"
	"crypto/cipher"
	_ "embed"
	"encoding/hex"
	"strings"
	"testing"
)

//go:embed testdata/wycheproof.txt
var wycheproof string

//go:embed testdata/nist.txt
var nist string

func TestWycheproof(t *testing.T) { vectors(t, wycheproof, 197) }

func TestNIST(t *testing.T) { vectors(t, nist, 10) }

// vectors runs a file of testdata, whose head describes the format of its lines.
func vectors(t *testing.T, file string, want int) {
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		count := 0
		for line := range strings.Lines(file) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			f := strings.Fields(line)
			var octets [6][]byte
			for i := range octets {
				var err error
				if octets[i], err = hex.DecodeString(strings.Trim(f[2+i], "-")); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			key, nonce, aad, plain, sealed := octets[0], octets[1], octets[2], octets[3], append(octets[4], octets[5]...)
			a := way(t, key)
			got, err := a.Open(nil, nonce, sealed, aad)
			if f[1] == "valid" {
				same(t, "number "+f[0]+" sealed", a.Seal(nil, nonce, plain, aad), sealed)
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("number %s: opened as %x, %v, want %x", f[0], got, err, plain)
				}
			} else if err == nil {
				t.Errorf("number %s: opened, must be refused", f[0])
			}
			count++
		}
		if count != want {
			t.Errorf("%d vectors, want %d", count, want)
		}
	})
}
