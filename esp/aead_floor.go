//go:build floor

package esp

// Floor reports that this build encrypts nothing. The benchmark harness builds it (-tags floor) to
// measure the cost of everything but the cipher: AES-GCM moves the octets as the cipher would,
// leaves room for the tag, and checks nothing. The rest is the same code. internal/daemon refuses
// to run it elsewhere.
const Floor = true

const floorTagLen = 16

func newAESGCM([]byte) (aead, error) { return floorAEAD{}, nil }

// floorAEAD is an aead without encryption and authentication.
type floorAEAD struct{}

func (floorAEAD) Seal(dst, _, plaintext, _ []byte) []byte {
	out := appendUnlessThere(dst, plaintext)
	return append(out, make([]byte, floorTagLen)...)
}

func (floorAEAD) Open(dst, _, ciphertext, _ []byte) ([]byte, error) {
	if len(ciphertext) < floorTagLen {
		return nil, ErrICV
	}
	return appendUnlessThere(dst, ciphertext[:len(ciphertext)-floorTagLen]), nil
}

// appendUnlessThere appends text to dst. It copies nothing if text already lies there, so that
// sealing and opening in place cost no copy.
func appendUnlessThere(dst, text []byte) []byte {
	if len(text) > 0 && cap(dst)-len(dst) >= len(text) && &dst[:len(dst)+1][len(dst)] == &text[0] {
		return dst[:len(dst)+len(text)]
	}
	return append(dst, text...)
}
