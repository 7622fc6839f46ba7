package wire

import "fmt"

// Error is the reason why a message could not be parsed. It never holds the peer's octets, only
// lengths, counts and code points, so it is safe to log.
type Error struct {
	// Notify is the answer to the message, if it may be answered: InvalidSyntax or
	// InvalidMajorVersion.
	Notify NotifyType
	// Payload is the payload with the error; NoNextPayload for the IKE header and the chain of
	// payloads.
	Payload PayloadType
	// Offset is the place of the error, in octets from the start of the parsed data: the datagram,
	// or the decrypted payloads.
	Offset int
	// Text names the field and the error in it.
	Text string
}

// Error returns the payload, the offset and the text.
func (e *Error) Error() string {
	if e.Payload == NoNextPayload {
		return fmt.Sprintf("IKE message, octet %d: %s", e.Offset, e.Text)
	}
	return fmt.Sprintf("%v payload, octet %d: %s", e.Payload, e.Offset, e.Text)
}
