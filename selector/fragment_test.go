package selector

import (
	"testing"

	"culvert/internal/ipheader"
)

func TestFragmentOf(t *testing.T) {
	const udp = "c0000035 0008 0000"
	for _, c := range []struct {
		name       string
		pkt        []byte
		proto      uint8
		id         uint32
		begin, end int
	}{
		{"v4 first", v4(t, "00", "2000", "11", udp), ProtoUDP, 0x1234, 0, 8},
		{"v4 middle", v4(t, "00", "2010", "11", udp+udp), ProtoUDP, 0x1234, 128, 144},
		{"v4 last, DF", v4(t, "00", "40b9", "06", udp+"00"), ProtoTCP, 0x1234, 1480, 1489},
		{"v4 options", unhex(t, "46000026 00072001 40110000"+src4+dst4+"01010101"+"00000000 00000000 00000000 0000"), ProtoUDP, 7, 8, 22},
		{"v6 first", v6(t, "2c", "1100 0001 80000007"+udp), 0, 0x80000007, 0, 8},
		{"v6 later", v6(t, "2c", "1100 05a8 00000009"+udp+"00"), 0, 9, 1448, 1457},
		{"v6 behind other headers", v6(t, "00", "3c00 0104 0000 0000 2b01 010c 0000 0000 0000 0000 0000 0000 2c00 0400 0000 0000 1100 0009 00000005"+udp), 0, 5, 8, 16},
		{"v6 behind an atomic one", v6(t, "2c", "2c00 0000 00000001 1100 0009 00000005"+udp), 0, 5, 8, 16},
		{"v6 header in the first fragment", v6(t, "2c", "3c00 0001 00000007 1100 0104 0000 0000"+udp), 0, 7, 0, 16},
	} {
		var p Packet
		if err := ParsePacket(c.pkt, &p); err != nil || p.Fragment == NotFragment {
			t.Fatalf("%s: %+v, %v", c.name, p, err)
		}
		d, begin, end := p.FragmentOf(c.pkt)
		if want := (DatagramID{p.Src, p.Dst, c.proto, c.id}); d != want || begin != c.begin || end != c.end {
			t.Errorf("%s: got %+v, %d to %d, want %+v, %d to %d", c.name, d, begin, end, want, c.begin, c.end)
		}
	}
}

// FuzzFragmentOf: no fragment, however odd, lies outside of any datagram.
func FuzzFragmentOf(f *testing.F) {
	f.Add(v4(f, "00", "2010", "11", "c0000035 0008 0000"))
	f.Add(v6(f, "00", "3c00 0104 0000 0000 2c00 0104 0000 0000 1100 0009 00000005 c0000035"))
	f.Add(v6(f, "2c", "3c00 0001 00000007 1100 0104 0000 0000 c0000035"))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		var p Packet
		if ParsePacket(pkt, &p) != nil || p.Fragment == NotFragment {
			return
		}
		if _, begin, end := p.FragmentOf(pkt); begin < 0 || begin > end || (begin == 0) != (p.Fragment == FirstFragment) || end > maxDatagram+ipheader.IPv6Len+maxDatagram {
			t.Fatalf("%d to %d: %+v", begin, end, p)
		}
	})
}
