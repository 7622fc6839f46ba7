package gso

import (
	"bytes"
	"testing"

	"culvert/internal/packettest"
)

// TestCompleteChecksum: an unfinished packet gets the checksum of a finished one, once; a finished
// one, and one whose field lies outside of it, stay as they are.
func TestCompleteChecksum(t *testing.T) {
	for _, s := range []packettest.Sample{{}, {UDP: true}, {V6: true, TCPOptions: 8}, {V6: true, UDP: true, IPOptions: 8}} {
		s.Payload = packettest.RandomBytes(101)
		want := s.Build()
		p := super(t, s.Build(), 0)
		if bytes.Equal(p.Data, want) {
			t.Fatal("the unfinished packet is finished")
		}
		CompleteChecksum(p)
		if !bytes.Equal(p.Data, want) || p.NeedsChecksum {
			t.Errorf("%+v: got %x, want %x", s, p.Data, want)
		}
		if CompleteChecksum(p); !bytes.Equal(p.Data, want) {
			t.Errorf("%+v: a finished packet was changed", s)
		}
	}
	data := packettest.RandomBytes(40)
	for offset, inside := range map[uint16]bool{18: true, 19: false, 0xffff: false} {
		p := &Packet{Data: bytes.Clone(data), NeedsChecksum: true, CsumStart: 20, CsumOffset: offset}
		if CompleteChecksum(p); bytes.Equal(p.Data, data) == inside || p.NeedsChecksum {
			t.Errorf("a field at %d of %d octets: changed %v", 20+int(offset), len(data), !bytes.Equal(p.Data, data))
		}
	}
}
