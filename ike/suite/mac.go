package suite

import (
	"crypto/hmac"
	"hash"
)

// mac is the HMAC of a box with a separate integrity algorithm.
type mac struct {
	hash   hash.Hash // a keyed HMAC, reset before use
	icvLen int
}

func newMAC(i integrity, ska []byte) mac { return mac{hmac.New(i.hash, ska), i.icvLen} }

// icv returns the checksum of the message from the IKE header up to and including the pad length.
func (m *mac) icv(parts ...[]byte) []byte {
	m.hash.Reset()
	for _, p := range parts {
		m.hash.Write(p)
	}
	return m.hash.Sum(nil)[:m.icvLen]
}

// authentic compares the ICV at the end of body, in constant time. It reports false for a body
// without room for one.
func (m *mac) authentic(head, body []byte) bool {
	at := len(body) - m.icvLen
	return at >= 0 && hmac.Equal(m.icv(head, body[:at]), body[at:])
}
