package wire

import (
	"encoding/binary"
	"fmt"
)

// reader consumes big-endian fields from the front of b. The first fault sticks: every later read
// returns zeros and the loop condition more() is false, so parsers are straight lines with one
// check at the end. Readers of substructures share the fault of their parent.
type reader struct {
	b       []byte
	offset  int // of b[0] in what is being parsed
	payload PayloadType
	fault   **Error
}

func newReader(b []byte, offset int, payload PayloadType) reader {
	return reader{b: b, offset: offset, payload: payload, fault: new(*Error)}
}

// err returns the sticky fault as an error.
func (r *reader) err() error {
	if *r.fault == nil {
		return nil
	}
	return *r.fault
}

func (r *reader) failed() bool { return *r.fault != nil }

// fail records a fault unless there already is one.
func (r *reader) fail(format string, args ...any) {
	if r.failed() {
		return
	}
	*r.fault = &Error{Notify: InvalidSyntax, Payload: r.payload, Offset: r.offset, Text: fmt.Sprintf(format, args...)}
}

// more reports whether there is data left to read, and no fault.
func (r *reader) more() bool { return !r.failed() && len(r.b) > 0 }

// take returns the next n octets, nil if n is zero. what names them in the error.
func (r *reader) take(n int, what string) []byte {
	if r.failed() {
		return nil
	}
	if n < 0 || n > len(r.b) {
		r.fail("%s needs %d octets, but %d are left", what, n, len(r.b))
		return nil
	}
	if n == 0 {
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	r.offset += n
	return out
}

func (r *reader) rest() []byte { return r.take(len(r.b), "rest") }

func (r *reader) u8(what string) uint8 {
	if b := r.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16(what string) uint16 {
	if b := r.take(2, what); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// reserved skips n octets that MUST be ignored on receipt (RFC 7296, Section 2.5).
func (r *reader) reserved(n int) { r.take(n, "reserved field") }

// sub takes the next n octets from r and returns a reader of them.
func (r *reader) sub(n int, what string) reader {
	s := reader{offset: r.offset, payload: r.payload, fault: r.fault}
	s.b = r.take(n, what)
	return s
}

// end records a fault unless everything was read: trailing octets inside a structure of known
// length are an error.
func (r *reader) end(what string) {
	if r.more() {
		r.fail("%d octets too many at the end of the %s", len(r.b), what)
	}
}
