package suite

import (
	"bytes"
	"errors"
	"testing"

	"culvert/ike/wire"
)

// TestPadding: any padding that fits is accepted (RFC 7296, Section 3.14; RFC 5282, Section 3). A
// genuine message with other padding is malformed, and may be answered.
func TestPadding(t *testing.T) {
	notify := wire.AppendPayloads(nil, []wire.Payload{windowSize}) // 12 octets
	pad := func(n int, length byte) []byte {
		return append(append(bytes.Clone(notify), bytes.Repeat([]byte{0xa5}, n)...), length)
	}
	for _, p := range protections() {
		for _, c := range []struct {
			name   string
			padded []byte
			ok     bool
		}{
			{"the least padding", pad(3, 3), true},
			{"a block more", pad(19, 19), true},
			{"the most padding", pad(243, 243), true},
			{"all padding is payloads", pad(3, 15), true}, // nothing remains, so Next Payload is wrong
			{"a pad length of one too many", pad(3, 16), false},
			{"a pad length of 255", pad(3, 255), false},
		} {
			raw := sealRaw(t, p, wire.PayloadNotify, c.padded)
			ps, err := p.protector(t, nil).Open(raw, sealed(t, raw))
			var malformed *wire.Error
			switch {
			case c.name == "all padding is payloads":
				if !errors.As(err, &malformed) {
					t.Errorf("%v, %s: %v", p, c.name, err)
				}
			case c.ok && (err != nil || len(ps) != 1):
				t.Errorf("%v, %s: %v, %v", p, c.name, ps, err)
			case !c.ok && (!errors.As(err, &malformed) || malformed.Notify != wire.InvalidSyntax || ps != nil):
				t.Errorf("%v, %s: %v, %v", p, c.name, ps, err)
			}
		}
		for n := range 18 { // no pad length at all, and with CBC partial blocks
			raw := sealRaw(t, p, wire.NoNextPayload, make([]byte, n))
			ps, err := p.protector(t, nil).Open(raw, sealed(t, raw))
			var malformed *wire.Error
			whole := n > 0 && (p.encr.ID != wire.EncrAESCBC || n%16 == 0)
			if !whole && (!errors.As(err, &malformed) || malformed.Notify != wire.InvalidSyntax) {
				t.Errorf("%v, %d octets inside: %v, %v", p, n, ps, err)
			}
		}
	}
}
