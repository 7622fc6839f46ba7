package ipheader_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"culvert/internal/ipheader"
	"culvert/internal/packettest"
	"culvert/selector"
)

func fragments(pkt []byte, header, mtu int) (list [][]byte) {
	f := ipheader.NewFragmenter(pkt, header, mtu)
	for {
		b := f.Next(nil)
		if len(b) == 0 {
			return list
		}
		list = append(list, b)
	}
}

func TestFragments(t *testing.T) {
	payload := make([]byte, 3001)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	pkt := packettest.UDPPacket(src4, dst4, false, payload)
	for _, mtu := range []int{68, 576, 1398, 1400, 3028, 3029, 9000} {
		list := fragments(pkt, 20, mtu)
		for i, f := range list {
			if len(f) > mtu {
				t.Errorf("MTU %d: fragment %d has %d octets", mtu, i, len(f))
			}
			if i < len(list)-1 && len(f) < mtu-7 {
				t.Errorf("MTU %d: fragment %d of %d octets wastes room", mtu, i, len(f))
			}
		}
		data, more := packettest.Reassemble(t, list)
		if !bytes.Equal(data, pkt[20:]) || more {
			t.Errorf("MTU %d: %d octets back, more %v", mtu, len(data), more)
		}
	}
}

func TestFragmentOfAFragment(t *testing.T) {
	whole := fragments(packettest.UDPPacket(src4, dst4, false, make([]byte, 4000)), 20, 1500)
	middle := whole[1]
	again := fragments(middle, 20, 600)
	if got := binary.BigEndian.Uint16(again[0][6:]) & ipheader.IPv4OffsetMask; got != 1480/8 {
		t.Errorf("first offset %d, want %d", got, 1480/8)
	}
	data, more := packettest.Reassemble(t, again)
	if !bytes.Equal(data, middle[20:]) || !more {
		t.Errorf("%d octets back, more %v, want %d, true", len(data), more, len(middle)-20)
	}
	if hdr := packettest.Parse(t, again[1]); hdr.Fragment != selector.LaterFragment {
		t.Errorf("second is %v", hdr.Fragment)
	}
}

func TestFragmentOptions(t *testing.T) {
	// A no-operation, a timestamp (not copied), a router alert (copied, RFC 2113), end, padding.
	options := []byte{1, 0x44, 4, 5, 0, 0x94, 4, 0, 0, 0, 0, 0}
	pkt := packettest.UDPPacket(src4, dst4, false, make([]byte, 1000))
	with := append(append(bytes.Clone(pkt[:20]), options...), pkt[20:]...)
	with[0] = 0x48
	binary.BigEndian.PutUint16(with[2:], uint16(len(with)))
	list := fragments(with, 32, 500)
	if data, _ := packettest.Reassemble(t, list); !bytes.Equal(data, pkt[20:]) {
		t.Error("data differ")
	}
	if !bytes.Equal(list[0][20:32], options) {
		t.Errorf("first fragment has options %x", list[0][20:32])
	}
	hdr := packettest.Parse(t, list[1])
	if want := []byte{0x94, 4, 0, 0}; !bytes.Equal(list[1][20:hdr.HeaderLen], want) {
		t.Errorf("second fragment has options %x, want %x", list[1][20:hdr.HeaderLen], want)
	}
	with[21], with[22] = 0x94, 0 // an option of length 0 ends them
	if data, _ := packettest.Reassemble(t, fragments(with, 32, 500)); !bytes.Equal(data, pkt[20:]) {
		t.Error("data differ after a bad option")
	}
}

// TestFragmentsAreAppended: a fragment stands behind what is in the buffer, and its header has
// whole words of its own.
func TestFragmentsAreAppended(t *testing.T) {
	// A router alert (copied), then an option that consists of its type and length (copied).
	options := []byte{0x94, 4, 0, 0, 1, 1, 0x9e, 2}
	pkt := packettest.UDPPacket(src4, dst4, false, make([]byte, 1000))
	with := append(append(bytes.Clone(pkt[:20]), options...), pkt[20:]...)
	with[0] = 0x47
	binary.BigEndian.PutUint16(with[2:], uint16(len(with)))
	alone := fragments(with, 28, 500)
	if want := []byte{0x94, 4, 0, 0, 0x9e, 2, 0, 0}; !bytes.Equal(alone[1][20:28], want) || alone[1][0] != 0x47 {
		t.Errorf("second fragment starts with %x, want the options %x", alone[1][:28], want)
	}
	for _, before := range []string{"a", "ab", "abc", "abcd"} {
		f := ipheader.NewFragmenter(with, 28, 500)
		for i, want := range alone {
			got := f.Next([]byte(before))
			if string(got[:len(before)]) != before || !bytes.Equal(got[len(before):], want) {
				t.Errorf("fragment %d behind %q: %x, want %x", i, before, got[len(before):], want)
			}
		}
		if got := f.Next([]byte(before)); string(got) != before {
			t.Errorf("after the last one: %x", got)
		}
	}
}
