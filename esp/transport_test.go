package esp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"culvert/selector"
)

// ends are the addresses of one family: ours, the peer's, and both as the peer sees them.
type ends struct{ local, remote, seenLocal, seenRemote netip.Addr }

func endsOf(list ...string) ends {
	a := func(i int) netip.Addr { return netip.MustParseAddr(list[i]) }
	return ends{a(0), a(1), a(2), a(3)}
}

var hostEnds = []ends{
	endsOf("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"),
	endsOf("10.0.0.2", "203.0.113.9", "198.51.100.7", "172.16.255.254"),
	endsOf("2001:db8::1", "2001:db8::2", "2001:db8::1", "2001:db8::2"),
	endsOf("fd98::2", "2001:db8::2", "2001:db8:ffff::ffff", "fd00::1"),
}

func TestTransportMTU(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, encap := range []bool{false, true} {
			for path := 0; path < 1600; path++ {
				n := usual.TransportMTU(path, v6, encap)
				if n == 0 {
					continue
				}
				if usual.TransportLen(n, v6, encap) > path || usual.TransportLen(n+1, v6, encap) <= path {
					t.Fatalf("path MTU %d, IPv6 %v, UDP %v: %d octets become %d, and one more %d", path, v6, encap, n, usual.TransportLen(n, v6, encap), usual.TransportLen(n+1, v6, encap))
				}
			}
			if usual.TransportMTU(20, v6, encap) != 0 {
				t.Error("something fits into 20 octets")
			}
		}
	}
	if n := usual.TransportMTU(1500, false, false); n != 1466 {
		t.Errorf("got %d octets, want 1466: 1500 - 8 - 8 - 16 is 1468, of which the text is padded to 4", n)
	}
}

func TestTransportPayload(t *testing.T) {
	v4 := func(ihl byte) []byte { p := make([]byte, 60); p[0], p[9] = 4<<4|ihl, 6; return p }
	v6 := func(next ...byte) []byte { // a chain of headers of 8 octets
		p := make([]byte, 40+8*len(next))
		p[0], p[6] = 6<<4, next[0]
		for i, n := range next[1:] {
			p[40+8*i] = n
		}
		return p
	}
	for _, tt := range []struct {
		name     string
		pkt      []byte
		begin    int
		protocol uint8
		ok       bool
	}{
		{"IPv4", v4(5), 20, 6, true},
		{"IPv4 with options", v4(6), 20, 6, false},
		{"IPv6", v6(17), 40, 17, true},
		{"destination options", v6(60, 6), 40, 60, true},
		{"destination options twice", v6(60, 60, 6), 40, 60, true},
		{"hop-by-hop options", v6(0, 6), 40, 0, false},
		{"a routing header", v6(43, 6), 40, 43, false},
		{"a fragment header", v6(44, 6), 40, 44, false},
		{"destination options before a routing header", v6(60, 43, 6), 40, 60, false},
		{"destination options before a fragment header", v6(60, 44, 6), 40, 60, false},
		{"destination options before hop-by-hop options", v6(60, 0, 6), 40, 60, false},
	} {
		begin, protocol, ok := TransportPayload(tt.pkt)
		if ok != tt.ok || ok && (begin != tt.begin || protocol != tt.protocol) {
			t.Errorf("%s: %d, %d, %v", tt.name, begin, protocol, ok)
		}
	}
}

// TestRebuild sends packets as the peer makes them, of each protocol with a checksum over the
// addresses and of one without, and compares what is rebuilt with the same packet made between our
// addresses.
func TestRebuild(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, e := range hostEnds {
		pair := NewHostPair(e.local, e.remote, e.seenLocal, e.seenRemote)
		for range 300 {
			data := make([]byte, random.IntN(100))
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			tos := uint8(random.Uint32())
			for _, protocol := range []uint8{protoTCP, protoUDP, protoICMPv6, 47} {
				if protocol == protoICMPv6 && !e.local.Is6() {
					continue
				}
				sent, want := upperPacket(protocol, e.seenRemote, e.seenLocal, data), upperPacket(protocol, e.remote, e.local, data)
				n, ok := pair.Len(len(sent))
				got := make([]byte, n)
				if !ok || !pair.Rebuild(got, sent, protocol, tos) {
					t.Fatal("it is refused")
				}
				var p selector.Packet
				if err := selector.ParsePacket(got, &p); err != nil || p.TotalLen != len(got) || p.TOS != tos || p.Protocol != protocol || p.Src != e.remote || p.Dst != e.local {
					t.Fatalf("%v: %+v, %v", e, p, err)
				}
				if !bytes.Equal(got[p.HeaderLen:], want) {
					t.Fatalf("%v, protocol %d: got %x, want %x", e, protocol, got[p.HeaderLen:], want)
				}
				if p.Version == 4 && onesSum(got[:20]) != 0xffff {
					t.Fatalf("the header's checksum is wrong: %x", got[:20])
				}
			}
		}
	}
}

// TestRebuildKeepsWrongChecksums: a wrong checksum stays wrong, and no checksum remains none.
func TestRebuildKeepsWrongChecksums(t *testing.T) {
	e := hostEnds[1]
	pair := NewHostPair(e.local, e.remote, e.seenLocal, e.seenRemote)
	got := make([]byte, 20+len("12345678data"))
	for _, change := range []uint16{0, 1, 0x8000} {
		sent := upperPacket(protoUDP, e.seenRemote, e.seenLocal, []byte("data"))
		binary.BigEndian.PutUint16(sent[6:], binary.BigEndian.Uint16(sent[6:])^change)
		pair.Rebuild(got, sent, protoUDP, 0)
		if right := onesSum(append(append(bytes.Clone(got[12:20]), 0, protoUDP, 0, byte(len(got)-20)), got[20:]...)) == 0xffff; right != (change == 0) {
			t.Errorf("changed by %x: right is %v", change, right)
		}
	}
	sent := upperPacket(protoUDP, e.seenRemote, e.seenLocal, []byte("data"))
	sent[6], sent[7] = 0, 0
	if pair.Rebuild(got, sent, protoUDP, 0); got[26] != 0 || got[27] != 0 {
		t.Errorf("UDP without a checksum got %x", got[26:28])
	}
	for n := range 20 { // what ends before its checksum
		short := make([]byte, 20+n)
		pair.Rebuild(short, make([]byte, n), protoTCP, 0)
		pair.Rebuild(short, make([]byte, n), protoUDP, 0)
	}
}

// TestRebuildRefuses: what never stands behind ESP in transport mode, and what is too long.
func TestRebuildRefuses(t *testing.T) {
	v4, v6 := NewHostPair(hostEnds[0].local, hostEnds[0].remote, hostEnds[0].local, hostEnds[0].remote), NewHostPair(hostEnds[2].local, hostEnds[2].remote, hostEnds[2].local, hostEnds[2].remote)
	for protocol := range 256 {
		want := protocol != 0 && protocol != 43 && protocol != 44
		if got := v6.Rebuild(make([]byte, 48), make([]byte, 8), uint8(protocol), 0); got != want {
			t.Errorf("protocol %d over IPv6: %v", protocol, got)
		}
		if !v4.Rebuild(make([]byte, 28), make([]byte, 8), uint8(protocol), 0) {
			t.Errorf("protocol %d over IPv4 is refused", protocol)
		}
	}
	for n, want := range map[int]bool{0: true, 65515: true, 65516: false} {
		if length, ok := v4.Len(n); ok != want || length != n+20 {
			t.Errorf("IPv4, %d octets: %d, %v", n, length, ok)
		}
	}
	for n, want := range map[int]bool{0: true, 65535: true, 65536: false} {
		if length, ok := v6.Len(n); ok != want || length != n+40 {
			t.Errorf("IPv6, %d octets: %d, %v", n, length, ok)
		}
	}
}

// upperPacket makes a packet of a protocol, without its IP header, by the plain rules.
func upperPacket(protocol uint8, src, dst netip.Addr, data []byte) []byte {
	size, at := 8, -1
	switch protocol {
	case protoTCP:
		size, at = 20, 16
	case protoUDP:
		at = 6
	case protoICMPv6:
		at = 2
	}
	p := append(make([]byte, size), data...)
	p[0], p[1] = 0x12, 0x34
	if protocol == protoUDP {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)))
	}
	if at < 0 {
		return p
	}
	pseudo := append(append(append([]byte{}, src.AsSlice()...), dst.AsSlice()...), 0, protocol)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(p)))
	sum := ^onesSum(append(pseudo, p...))
	if sum == 0 && protocol == protoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(p[at:], sum)
	return p
}

// onesSum is the one's complement sum, word by word.
func onesSum(b []byte) uint16 {
	sum := 0
	for i, o := range b {
		sum += int(o) << (8 * (1 - i%2))
		if sum > 0xffff {
			sum -= 0xffff
		}
	}
	return uint16(sum)
}
