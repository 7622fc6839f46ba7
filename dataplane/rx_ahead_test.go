package dataplane

import (
	"encoding/binary"
	"testing"

	"culvert/dataplane/netio"
)

// TestLookAhead: a burst of several SAs, of an SPI that nobody has, and of IKE; later datagrams of
// a message may be of another SA.
func TestLookAhead(t *testing.T) {
	s := newSAD()
	a, b := testPair(0x1001), testPair(0x2002)
	for _, p := range []*pair{a, b} {
		if err := s.install(p); err != nil {
			t.Fatal(err)
		}
	}
	message := func(kind netio.Kind, spi uint32) netio.Received {
		return netio.Received{Kind: kind, Data: binary.BigEndian.AppendUint32(make([]byte, 0, 64), spi)[:64]}
	}
	in := []netio.Received{message(netio.ESP, 0x1001), message(netio.IKE, 0x1001), message(netio.ESP, 0x3003), message(netio.ESP, 0x2002)}
	var l lookAhead
	l.look(s, in)
	for i, want := range []*pair{a, nil, nil, b} {
		if l.pairs[i] != want {
			t.Errorf("message %d: %v, want %v", i, l.pairs[i], want)
		}
	}
	for l.at = range in {
		for spi, want := range map[uint32]*pair{0x1001: a, 0x2002: b, 0x3003: nil} {
			if got := l.find(s, spi); got != want {
				t.Errorf("SPI %#x in message %d: %v, want %v", spi, l.at, got, want)
			}
		}
	}
	// What was looked up counts for the burst, and is forgotten with it.
	s.remove(a)
	l.at = 0
	if l.find(s, 0x1001) != a {
		t.Error("the SA of a message is looked up again")
	}
	l.forget()
	if l.find(s, 0x1001) != nil || l.pairs[0] != nil {
		t.Error("a removed SA is kept")
	}
}
