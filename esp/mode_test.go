package esp

import (
	"bytes"
	_ "embed"
	"slices"
	"strings"
	"testing"
)

//go:embed testdata/wycheproof_gmac.txt
var gmacVectors string

// The messages that are long enough for the header of a packet are taken as one: its first octets
// are the header, the others the text.
func TestGMACVectors(t *testing.T) {
	good, bad := 0, 0
	for line := range strings.Lines(gmacVectors) {
		f := strings.Fields(line)
		if f[0] == "#" || f[4] == "-" || len(f[4]) < 2*HeaderLen {
			continue
		}
		key, nonce, message, tag := unhex(t, f[2]), unhex(t, f[3]), unhex(t, f[4]), unhex(t, f[5])
		k, err := Cipher{ID: NULLAuthAESGMAC, KeyBits: uint16(len(key) * 8)}.keyed(append(key, nonce[:4]...))
		if err != nil {
			t.Fatal(err)
		}
		seq := uint64(message[4])<<24 | uint64(message[5])<<16 | uint64(message[6])<<8 | uint64(message[7])
		pkt := slices.Concat(message[:HeaderLen], nonce[4:], message[HeaderLen:], tag)
		before := bytes.Clone(pkt)
		if ok := k.other.open(&k, new(Scratch), pkt, seq); ok != (f[1] == "valid") || !bytes.Equal(pkt, before) {
			t.Errorf("number %s, %s: %v", f[0], f[1], ok)
		}
		if f[1] != "valid" {
			bad++
			continue
		}
		good++
		clear(k.icv(pkt))
		if k.other.seal(&k, new(Scratch), pkt, nil, seq); !bytes.Equal(pkt, before) {
			t.Errorf("number %s: %x, want %x", f[0], pkt, before)
		}
	}
	if good < 20 || bad < 60 {
		t.Errorf("%d valid and %d invalid vectors", good, bad)
	}
}
