package suite

import (
	"testing"

	"culvert/ike/wire"
)

// TestWordsAreNames: the name of each transform is a keyword for it, and each keyword has an
// implementation.
func TestWordsAreNames(t *testing.T) {
	for word, tr := range words {
		if got, ok := words[tr.String()]; !ok || got != tr {
			t.Errorf("%q is printed as %q, which means %v", word, tr, got)
		}
		switch tr.Type {
		case wire.TransformENCR:
			if _, err := encryptionOf(tr); err != nil {
				t.Errorf("%q: %v", word, err)
			}
		case wire.TransformINTEG:
			if _, ok := integrities[tr.ID]; !ok || prfOfInteg[tr.ID] == 0 {
				t.Errorf("%q has no algorithm, or no PRF", word)
			}
		case wire.TransformPRF:
			if _, ok := PRFByID(tr.ID); !ok {
				t.Errorf("%q has no PRF", word)
			}
		case wire.TransformKE:
			if !GroupKnown(tr.ID) {
				t.Errorf("%q has no key exchange", word)
			}
		}
	}
}

// TestWeak: what is named weak, and nothing else.
func TestWeak(t *testing.T) {
	weak := map[string]bool{"null": true, "aes128gmac": true, "aes192gmac": true, "aes256gmac": true, "sha1": true, "prfsha1": true, "modp1024": true, "modp1536": true}
	for word, tr := range words {
		if got := Weak(tr) != ""; got != weak[word] {
			t.Errorf("%s: weak %v", word, got)
		}
	}
}
