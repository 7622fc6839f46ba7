package esp

import (
	"bytes"
	"testing"
)

func TestPrepare(t *testing.T) {
	pkt := []byte{1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 11, 12, 13, 14, 15, 16, 17, 18}
	const seq = 0x21222324_25262728
	for _, c := range []struct {
		esn        bool
		salt       int
		nonce, aad []byte
	}{
		{false, 4, []byte{0xa1, 0xa2, 0xa3, 0xa4, 11, 12, 13, 14, 15, 16, 17, 18}, []byte{1, 2, 3, 4, 0x25, 0x26, 0x27, 0x28}},
		{true, 4, []byte{0xa1, 0xa2, 0xa3, 0xa4, 11, 12, 13, 14, 15, 16, 17, 18}, []byte{1, 2, 3, 4, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28}},
		{false, 3, []byte{0xa1, 0xa2, 0xa3, 11, 12, 13, 14, 15, 16, 17, 18}, []byte{1, 2, 3, 4, 0x25, 0x26, 0x27, 0x28}},
	} {
		var s Scratch
		nonce, aad := s.prepareFor(&keyed{salt: 0xa4a3a2a1, esn: c.esn}, pkt, seq, c.salt)
		if !bytes.Equal(nonce, c.nonce) || !bytes.Equal(aad, c.aad) {
			t.Errorf("esn %v, a salt of %d octets: %x, %x, want %x, %x", c.esn, c.salt, nonce, aad, c.nonce, c.aad)
		}
	}
}
