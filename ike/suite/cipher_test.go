package suite

import (
	"testing"

	"culvert/ike/wire"
)

// TestIntegNone: an AEAD may be proposed with integrity algorithm NONE (RFC 7296, Section 3.3.3).
func TestIntegNone(t *testing.T) {
	p := mustIKE(t, "aes256gcm16-prfsha384-x25519")
	p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformINTEG, ID: wire.IntegNone})
	s, err := NewIKESuite(p)
	if err != nil {
		t.Fatal(err)
	}
	if k := s.Keys([]byte("seed"), nil, nil, 1, 2); len(k.Ai) != 0 || len(k.Ei) != 36 {
		t.Errorf("keys of %d and %d octets", len(k.Ai), len(k.Ei))
	}
}
