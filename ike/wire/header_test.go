package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// Datagrams of 0 to 27 octets, false Length fields, any major version: the result is a typed error
// or a header, and it can be printed.
func TestHeader(t *testing.T) {
	good := datagram(NoNextPayload, nil)
	for n := range good {
		_, err := ParseHeader(good[:n])
		wantError(t, err, InvalidSyntax, "short header")
		if err.Error() == "" {
			t.Error("an error without text")
		}
	}
	for _, length := range []uint32{0, 27, 29, 1 << 31, 0xffffffff} {
		bad := bytes.Clone(good)
		binary.BigEndian.PutUint32(bad[24:], length)
		_, err := ParseHeader(bad)
		wantError(t, err, InvalidSyntax, "wrong length")
	}
	zero := bytes.Clone(good)
	clear(zero[:8])
	_, err := ParseHeader(zero)
	wantError(t, err, InvalidSyntax, "zero SPI")
	for _, v := range []byte{0, 0x10, 0x2f, 0x30, 0xff} {
		h, err := ParseHeader(withVersion(bytes.Clone(good), v))
		if err != nil || h.MajorVersion != v>>4 || h.MinorVersion != v&0xf {
			t.Errorf("version %#x: got %d.%d, %v", v, h.MajorVersion, h.MinorVersion, err)
		}
	}
	// The undefined flags: "'X' bits MUST be cleared when sending and MUST be ignored on receipt"
	// (RFC 7296, Section 3.1).
	good[19] = 0xff
	h, err := ParseHeader(good)
	if err != nil || !h.Initiator || !h.Response || !h.HigherVer {
		t.Errorf("all flags: got %+v, %v", h, err)
	}
	if got := h.AppendTo(nil)[19]; got != 0x38 {
		t.Errorf("flags sent: got %#x, want 0x38", got)
	}
}

func withVersion(b []byte, v byte) []byte {
	b[17] = v
	return b
}
