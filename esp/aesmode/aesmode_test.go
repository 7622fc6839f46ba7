package aesmode

import "testing"

func TestNothingIsAllocated(t *testing.T) {
	ccm, _ := NewCCM(octets(16), 16)
	gcm, _ := NewShortGCM(octets(16), 8)
	for name, m := range map[string]Mode{"CCM": ccm, "GCM": gcm} {
		var w Work
		nonce, text, aad, tag := octets(m.NonceLen()), octets(1400), octets(12), make([]byte, m.TagLen())
		if n := testing.AllocsPerRun(10, func() {
			m.Seal(&w, nonce, text, aad, tag)
			if !m.Open(&w, nonce, text, aad, tag) {
				t.Error("not authentic")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestAEADSizes(t *testing.T) {
	ccm, _ := NewCCM(octets(16), 12)
	if a := AEAD(ccm); a.NonceSize() != 11 || a.Overhead() != 12 {
		t.Errorf("nonces of %d octets, %d of overhead", a.NonceSize(), a.Overhead())
	}
}
