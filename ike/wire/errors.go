package wire

import "fmt"

// Error says why a message could not be parsed. It never holds the peer's bytes, only lengths, counts and code points, so
// that it is safe to log whole.
type Error struct {
	// Notify is the answer that the RFC names, for a message that may be answered: InvalidSyntax, or InvalidMajorVersion.
	Notify NotifyType
	// Payload is the payload in which the fault lies; NoNextPayload for the IKE header and for the chain of payloads.
	Payload PayloadType
	// Offset is where the fault was seen, in octets from the start of what was parsed: the datagram, or the decrypted payloads.
	Offset int
	// Text names the field and what is wrong with it.
	Text string
}

// Error returns the whole sentence.
func (e *Error) Error() string {
	if e.Payload == NoNextPayload {
		return fmt.Sprintf("IKE message, octet %d: %s", e.Offset, e.Text)
	}
	return fmt.Sprintf("%v payload, octet %d: %s", e.Payload, e.Offset, e.Text)
}
