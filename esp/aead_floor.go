//go:build floor

package esp

// Floor says that this build encrypts nothing. The benchmark harness builds it (-tags floor) to learn what everything but the cipher costs: AES-GCM moves
// the octets where the cipher would, leaves room for the tag, and checks nothing; all else is the same code. internal/daemon refuses to run it elsewhere.
const Floor = true

const floorTagLen = 16

func newAESGCM([]byte) (aead, error) { return floorAEAD{}, nil }

// floorAEAD is an aead that neither encrypts nor authenticates.
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

// appendUnlessThere appends text to dst, and copies nothing if that is where it lies already: what is sealed or opened in place costs no copy.
func appendUnlessThere(dst, text []byte) []byte {
	if len(text) > 0 && cap(dst)-len(dst) >= len(text) && &dst[:len(dst)+1][len(dst)] == &text[0] {
		return dst[:len(dst)+len(text)]
	}
	return append(dst, text...)
}
