package suite

import (
	"bytes"
	"testing"

	"culvert/ike/wire"
)

// TestRFC7634 is the IKEv2 example of RFC 7634, Appendix B.
func TestRFC7634(t *testing.T) {
	key := unhex(t, "808182838485868788898a8b8c8d8e8f 909192939495969798999a9b9c9d9e9f a0a1a2a3")
	want := unhex(t, `c0 c1 c2 c3 c4 c5 c6 c7 d0 d1 d2 d3 d4 d5 d6 d7 2e 20 25 00 00 00 00 09 00 00 00 45 29 00 00 29
		10 11 12 13 14 15 16 17 61 03 94 70 1f 8d 01 7f 7c 12 92 48 89 6b 71 bf e2 52 36 ef d7 cd c6 70 66 90 63 15 b2`)
	p, err := NewProtector(words["chacha20poly1305"], wire.Transform{}, key, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.box.(*aeadBox).next = 0x1011121314151617
	got, err := p.SealMessage(testHeader, []wire.Payload{windowSize})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v\nwant %x", got, err, want)
	}
	ps, err := p.Open(want, sealed(t, want))
	if err != nil || len(ps) != 1 || !bytes.Equal(payload[*wire.Notify](t, ps).Data, windowSize.Data) {
		t.Errorf("opened as %v, %v", ps, err)
	}
}
