package wire

import (
	"bytes"
	"errors"
	"testing"
)

// TestReaderFields: fields come in their order, and the offset counts from where the reader began.
func TestReaderFields(t *testing.T) {
	r := newReader([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, 100, PayloadKE)
	if got := r.u8("a"); got != 1 {
		t.Errorf("u8: %#x", got)
	}
	if got := r.u16("b"); got != 0x0203 {
		t.Errorf("u16: %#x", got)
	}
	r.reserved(1)
	if got := r.take(0, "nothing"); got != nil {
		t.Errorf("no octets: %x", got)
	}
	s := r.sub(2, "inside")
	if got := s.u8("c"); got != 5 || s.offset != 105 || !s.more() {
		t.Errorf("sub: %d, then octet %d", got, s.offset)
	}
	if s.end("inside"); r.more() || r.err().Error() != "KE payload, octet 105: 1 octets too many at the end of the inside" {
		t.Errorf("the fault of a part is not that of the whole: %v", r.err())
	}
	r = newReader([]byte{1, 2, 3}, 0, PayloadKE)
	if got := r.rest(); !bytes.Equal(got, []byte{1, 2, 3}) || cap(got) != 3 || r.more() || r.offset != 3 {
		t.Errorf("rest: %x, then octet %d", got, r.offset)
	}
	if r.end("all"); r.failed() || r.err() != nil {
		t.Errorf("at the end: %v", r.err())
	}
}

// TestReaderFault: the first fault stays, and everything read after it is zero.
func TestReaderFault(t *testing.T) {
	r := newReader([]byte{1, 2, 3}, 10, PayloadNonce)
	if got := r.take(4, "four"); got != nil || !r.failed() || r.more() {
		t.Errorf("four of three octets: %x", got)
	}
	r.fail("another")
	sub := r.sub(1, "part")
	if r.u8("a") != 0 || r.u16("b") != 0 || r.rest() != nil || sub.more() || sub.u8("c") != 0 || r.offset != 10 {
		t.Error("something was read after the fault")
	}
	r.end("all")
	var e *Error
	if !errors.As(r.err(), &e) || e.Text != "four needs 4 octets, but 3 are left" || e.Payload != PayloadNonce || e.Offset != 10 || e.Notify != InvalidSyntax {
		t.Errorf("got %+v", e)
	}
	r = newReader([]byte{1}, 0, PayloadNonce)
	if r.take(-1, "fewer than none"); !r.failed() {
		t.Error("a negative number of octets was read")
	}
}
