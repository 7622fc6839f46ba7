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
	// Only an unprotected INVALID_SPI may have none (RFC 7296, Section 1.5).
	stray := Message{Header: Header{Exchange: Informational, Initiator: true}, Payloads: []Payload{&Notify{Kind: InvalidSPI}}}
	if _, err := ParseHeader(stray.AppendTo(nil)); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(m *Message){
		func(m *Message) { m.Header.Response = true }, func(m *Message) { m.Header.Initiator = false }, func(m *Message) { m.Header.ResponderSPI = 1 },
		func(m *Message) { m.Header.Exchange = IKESAInit }, func(m *Message) { m.Payloads = []Payload{&Nonce{}} },
	} {
		m := stray
		spoil(&m)
		_, err := ParseHeader(m.AppendTo(nil))
		wantError(t, err, InvalidSyntax, "zero SPI of another message")
	}
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

// TestHeaderOctets: the header of RFC 7296, Section 3.1, each flag by itself.
func TestHeaderOctets(t *testing.T) {
	b := unhex(t, "0102030405060708 1112131415161718 21 21 22 08 0000002a 0000001c")
	want := Header{InitiatorSPI: 0x0102030405060708, ResponderSPI: 0x1112131415161718, NextPayload: PayloadSA, MajorVersion: 2, MinorVersion: 1,
		Exchange: IKESAInit, Initiator: true, MessageID: 42, Length: 28}
	for _, tt := range []struct {
		flags byte
		set   func(h *Header)
	}{
		{0x08, func(*Header) {}},
		{0x20, func(h *Header) { h.Initiator, h.Response = false, true }},
		{0x10, func(h *Header) { h.Initiator, h.HigherVer = false, true }},
		{0, func(h *Header) { h.Initiator = false }},
	} {
		want := want
		tt.set(&want)
		b[19] = tt.flags
		got, err := ParseHeader(b)
		if err != nil || got != want {
			t.Errorf("flags %#x: got %+v, %v", tt.flags, got, err)
		}
		if octets := got.AppendTo(nil); string(octets) != string(b) {
			t.Errorf("flags %#x: appended %x", tt.flags, octets)
		}
	}
	if got := (Header{}).AppendTo(nil)[17]; got != 0x20 {
		t.Errorf("without a version: %#x, want 0x20", got)
	}
}
