package esp

import (
	"bytes"
	_ "embed"
	"strings"
	"testing"
)

//go:embed testdata/wycheproof_gmac.txt
var gmacVectors string

func TestGMACVectors(t *testing.T) {
	good, bad := 0, 0
	for line := range strings.Lines(gmacVectors) {
		f := strings.Fields(line)
		if f[0] == "#" || f[4] == "-" {
			continue
		}
		key, nonce, message, tag := unhex(t, f[2]), unhex(t, f[3]), unhex(t, f[4]), unhex(t, f[5])
		k, err := Cipher{ID: NULLAuthAESGMAC, KeyBits: uint16(len(key) * 8)}.keyed(append(key, nonce[:4]...))
		if err != nil {
			t.Fatal(err)
		}
		got := k.other.(gmac).tag(new(Scratch), nonce, message)
		if bytes.Equal(got, tag) != (f[1] == "valid") {
			t.Errorf("number %s, %s: %x, its tag is %x", f[0], f[1], got, tag)
		}
		if f[1] == "valid" {
			good++
		} else {
			bad++
		}
	}
	if good < 20 || bad < 60 {
		t.Errorf("%d valid and %d invalid vectors", good, bad)
	}
}

// A packet of draft-mcgrew-gcm-test-01, whose tag covers the IV as well, and one that was changed.
func TestGMACPacket(t *testing.T) {
	k, err := Cipher{ID: NULLAuthAESGMAC, KeyBits: 128}.keyed(unhex(t, "4c80cdefbb5d10da906ac73c3613a63422433c64"))
	if err != nil {
		t.Fatal(err)
	}
	const text = "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201"
	pkt := unhex(t, "0000432100000007"+"0000000000000000"+text+"f2a9a836e155106aa8dcd618e4099aaa")
	before := bytes.Clone(pkt)
	if !k.other.open(&k, new(Scratch), pkt, 7) || !bytes.Equal(pkt, before) {
		t.Error("it is not taken, or was changed")
	}
	clear(k.icv(pkt))
	if k.other.seal(&k, new(Scratch), pkt, nil, 7); !bytes.Equal(pkt, before) {
		t.Errorf("%x, want %x", pkt, before)
	}
	for at := range pkt {
		if at >= 4 && at < HeaderLen {
			continue // the number is given
		}
		if pkt[at] ^= 1; k.other.open(&k, new(Scratch), pkt, 7) {
			t.Errorf("it is taken with another octet %d", at)
		}
		pkt[at] ^= 1
	}
	if k.other.open(&k, new(Scratch), pkt, 8) {
		t.Error("it is taken with another number")
	}
}
