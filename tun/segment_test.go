package tun

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// sample describes a TCP or UDP packet to build.
type sample struct {
	v6      bool
	udp     bool
	ipOpts  int // octets of IPv4 options or of an IPv6 destination-options header
	tcpOpts int
	flags   uint8
	seq     uint32
	id      uint16
	payload []byte
}

// build makes the packet with the checksum as a sender without checksum offload would have it.
func (s sample) build() []byte {
	l4 := s.transport()
	var ip []byte
	if s.v6 {
		ip = make([]byte, ipv6HeaderLen+s.ipOpts)
		ip[0], ip[6], ip[7] = 0x60, s.proto(), 64
		if s.ipOpts > 0 {
			ip[6], ip[ipv6HeaderLen], ip[ipv6HeaderLen+1] = 60, s.proto(), uint8(s.ipOpts/8-1)
		}
		binary.BigEndian.PutUint16(ip[4:], uint16(s.ipOpts+len(l4)))
		copy(ip[8:], []byte{0x20, 1, 0xd, 0xb8, 15: 1})
		copy(ip[24:], []byte{0x20, 1, 0xd, 0xb8, 1, 15: 2})
	} else {
		ip = make([]byte, ipv4HeaderLen+s.ipOpts)
		ip[0], ip[8], ip[9] = 0x40|uint8(len(ip)/4), 64, s.proto()
		for i := ipv4HeaderLen; i < len(ip); i++ {
			ip[i] = 1 // no-operation
		}
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(l4)))
		binary.BigEndian.PutUint16(ip[4:], s.id)
		copy(ip[12:], []byte{10, 1, 0, 1, 10, 2, 0, 2})
		binary.BigEndian.PutUint16(ip[10:], ^slowSum(ip))
	}
	pkt := append(ip, l4...)
	at := len(ip) + tcpCsumOffset
	if s.udp {
		at = len(ip) + udpCsumOffset
	}
	sum := ^slowSum(slowPseudo(pkt, s.v6, s.proto(), l4))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(pkt[at:], sum)
	return pkt
}

func (s sample) proto() uint8 {
	if s.udp {
		return protoUDP
	}
	return protoTCP
}

func (s sample) transport() []byte {
	if s.udp {
		h := make([]byte, udpHeaderLen, udpHeaderLen+len(s.payload))
		binary.BigEndian.PutUint32(h, 1234<<16|5678)
		binary.BigEndian.PutUint16(h[4:], uint16(udpHeaderLen+len(s.payload)))
		return append(h, s.payload...)
	}
	h := make([]byte, tcpHeaderLen+s.tcpOpts, tcpHeaderLen+s.tcpOpts+len(s.payload))
	binary.BigEndian.PutUint32(h, 1234<<16|5678)
	binary.BigEndian.PutUint32(h[4:], s.seq)
	h[12], h[13] = uint8(len(h)/4)<<4, s.flags
	for i := tcpHeaderLen; i < len(h); i++ {
		h[i] = 1
	}
	return append(h, s.payload...)
}

// slowSum is RFC 1071 as its text has it.
func slowSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		sum += w
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// slowPseudo is the octets that an upper-layer checksum covers, for a checksum field of zero.
func slowPseudo(pkt []byte, v6 bool, proto uint8, l4 []byte) []byte {
	var b []byte
	if v6 {
		b = append(b, pkt[8:40]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(l4)))
		b = append(b, 0, 0, 0, proto)
	} else {
		b = append(b, pkt[12:20]...)
		b = append(b, 0, proto)
		b = binary.BigEndian.AppendUint16(b, uint16(len(l4)))
	}
	return append(b, l4...)
}

// super turns a built packet into what the kernel hands out for a super-packet: pseudo-header sum only in the checksum.
func super(t testing.TB, pkt []byte, segSize int) *Packet {
	t.Helper()
	var l layout
	if err := l.parse(pkt); err != nil {
		t.Fatalf("the test's own packet: %v", err)
	}
	src, dst := l.addresses(pkt)
	binary.BigEndian.PutUint16(pkt[l.start+l.csumOffset():], PseudoSum(src, dst, l.proto, len(pkt)-l.start))
	p := &Packet{Data: pkt, SegSize: uint16(segSize), HdrLen: uint16(l.payload), NeedsChecksum: true,
		CsumStart: uint16(l.start), CsumOffset: uint16(l.csumOffset())}
	switch {
	case l.proto == protoUDP:
		p.GSO = GSOUDP
	case l.v6:
		p.GSO = GSOTCPv6
	default:
		p.GSO = GSOTCPv4
	}
	return p
}

// cut is the naive reference: each segment built from nothing.
func (s sample) cut(size int) [][]byte {
	var out [][]byte
	for off := 0; off == 0 || off < len(s.payload); off += size {
		seg, end := s, min(off+size, len(s.payload))
		seg.payload = s.payload[off:end]
		seg.seq, seg.id = s.seq+uint32(off), s.id+uint16(off/size)
		if end < len(s.payload) {
			seg.flags &^= tcpFIN | tcpPSH
		}
		if off > 0 {
			seg.flags &^= tcpCWR
		}
		out = append(out, seg.build())
	}
	return out
}

func randomBytes(n int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func samples() map[string]sample {
	pay := randomBytes(5000)
	return map[string]sample{
		"tcp4":               {seq: 0xfffffff0, id: 0xffff, flags: 0x10, payload: pay},
		"tcp4 fin psh cwr":   {flags: 0x10 | tcpFIN | tcpPSH | tcpCWR, payload: pay},
		"tcp4 options":       {ipOpts: 8, tcpOpts: 12, flags: 0x18, payload: pay},
		"tcp6":               {v6: true, tcpOpts: 12, flags: 0x18, seq: 7, payload: pay},
		"tcp6 extension":     {v6: true, ipOpts: 16, tcpOpts: 20, flags: 0x99, payload: pay},
		"udp4":               {udp: true, id: 9, payload: pay},
		"udp6":               {v6: true, udp: true, payload: pay},
		"udp6 extension":     {v6: true, udp: true, ipOpts: 8, payload: pay[:4001]},
		"tcp4 exact":         {flags: 0x18, payload: pay[:4000]},
		"tcp4 one too many":  {flags: 0x18, payload: pay[:4001]},
		"tcp4 single":        {flags: 0x18, payload: pay[:1000]},
		"tcp4 short last":    {flags: 0x18, payload: pay[:1003]},
		"tcp4 without data":  {flags: 0x10},
		"udp4 zero checksum": {udp: true, payload: zeroSumPayload()},
	}
}

// zeroSumPayload makes a UDP packet of samples' addresses and ports whose checksum comes out as zero, which must be sent as all ones.
func zeroSumPayload() []byte {
	s := sample{udp: true, payload: make([]byte, 1000)}
	pkt := s.build()
	// The field is the complement of all else: put into the data, it makes the whole sum all ones.
	copy(s.payload, pkt[ipv4HeaderLen+udpCsumOffset:][:2])
	return s.payload
}

func TestSegmenterMatchesReference(t *testing.T) {
	for name, s := range samples() {
		for _, size := range []int{1000, 536, 1448, 1} {
			if size == 1 && len(s.payload) > 2000 {
				continue
			}
			checkSegments(t, name, s, size)
		}
	}
}

func checkSegments(t *testing.T, name string, s sample, size int) {
	t.Helper()
	want := s.cut(size)
	buf := s.build()
	var seg Segmenter
	if err := seg.Reset(super(t, buf, size)); err != nil {
		t.Fatalf("%s/%d: Reset: %v", name, size, err)
	}
	if seg.Len() != len(want) {
		t.Fatalf("%s/%d: Len = %d, want %d", name, size, seg.Len(), len(want))
	}
	for i, w := range want {
		got := seg.Next()
		if !bytes.Equal(got, w) {
			t.Fatalf("%s/%d: segment %d of %d differs:\n got %x\nwant %x", name, size, i, len(want), got[:min(80, len(got))], w[:min(80, len(w))])
		}
		if cap(got) != len(got) {
			t.Fatalf("%s/%d: segment %d can be appended to over the payload that follows", name, size, i)
		}
	}
	if got := seg.Next(); got != nil {
		t.Fatalf("%s/%d: one more segment after the last: %x", name, size, got)
	}
}

func TestSegmenterPassesOrdinaryPackets(t *testing.T) {
	s := sample{flags: 0x18, payload: randomBytes(77)}
	want := s.build()
	p := super(t, s.build(), 0)
	p.GSO = GSONone
	var seg Segmenter
	if err := seg.Reset(p); err != nil {
		t.Fatal(err)
	}
	if got := seg.Next(); seg.Len() != 1 || !bytes.Equal(got, want) || p.NeedsChecksum {
		t.Fatalf("got %x, want %x with its checksum completed", got, want)
	}
	if seg.Next() != nil {
		t.Fatal("a second packet came out of one")
	}
}

func TestSegmenterRefuses(t *testing.T) {
	good := sample{flags: 0x18, payload: randomBytes(3000)}
	for name, spoil := range map[string]func(p *Packet){
		"no segment size":    func(p *Packet) { p.SegSize = 0 },
		"fragment":           func(p *Packet) { p.Data[6] = 0x20 },
		"another protocol":   func(p *Packet) { p.Data[9] = 1 },
		"UDP called TCP":     func(p *Packet) { p.GSO = GSOUDP },
		"TCP offset too big": func(p *Packet) { p.Data, p.Data[32] = p.Data[:50], 0xf0 },
		"TCP offset small":   func(p *Packet) { p.Data[32] = 0x40 },
		"header length":      func(p *Packet) { p.Data[0] = 0x44 },
		"empty":              func(p *Packet) { p.Data = nil },
		"version 5":          func(p *Packet) { p.Data[0] = 0x55 },
	} {
		p := super(t, good.build(), 1000)
		spoil(p)
		var seg Segmenter
		if err := seg.Reset(p); err == nil {
			t.Errorf("%s: Reset accepted it", name)
		}
		if got := seg.Next(); got != nil {
			t.Errorf("%s: a segment came out", name)
		}
	}
}

func TestSumMatchesReference(t *testing.T) {
	b := randomBytes(300)
	for n := range b {
		for _, initial := range []uint16{0, 1, 0x8000, 0xffff} {
			got := Sum(initial, b[:n])
			want := slowSum(append([]byte{byte(initial >> 8), byte(initial)}, b[:n]...))
			if got != want && got^want != 0xffff { // 0 and 0xffff are the same number
				t.Fatalf("Sum(%#x, %d octets) = %#04x, want %#04x", initial, n, got, want)
			}
		}
	}
	full := bytes.Repeat([]byte{0xff}, 65535)
	if got, want := Sum(0, full), slowSum(full); got != want {
		t.Fatalf("all ones: %#x, want %#x", got, want)
	}
}

func FuzzSegmenter(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.build(), uint16(1000), uint8(1), uint16(20), uint16(16))
		f.Add(s.build(), uint16(1), uint8(3), uint16(28), uint16(6))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint16, kind uint8, start, off uint16) {
		p := Packet{Data: bytes.Clone(data), GSO: GSOType(kind % 4), SegSize: size, NeedsChecksum: kind < 128, CsumStart: start, CsumOffset: off}
		var seg Segmenter
		if seg.Reset(&p) != nil {
			return
		}
		n, payload := seg.Len(), 0
		var got []byte
		for pkt := seg.Next(); pkt != nil; pkt = seg.Next() {
			n--
			if seg.gso {
				payload += len(pkt) - seg.head.payload
				got = append(got, pkt[seg.head.payload:]...)
			}
		}
		if n != 0 {
			t.Fatalf("Len and the number of segments differ by %d", n)
		}
		if seg.gso && (payload != len(data)-seg.head.payload || !bytes.Equal(got, data[seg.head.payload:])) {
			t.Fatalf("the payload changed: %d octets of %d", payload, len(data)-seg.head.payload)
		}
	})
}

func FuzzParseVnet(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte{1, 1, 0, 0, 0xe8, 3, 20, 0, 16, 0}, s.build())
	}
	f.Fuzz(func(t *testing.T, hdr, data []byte) {
		if len(hdr) < vnetLen {
			return
		}
		p := Packet{Data: bytes.Clone(data)}
		if parseVnet(hdr, &p) != nil {
			return
		}
		if p.GSO != GSONone && (p.SegSize == 0 || int(p.HdrLen)+int(p.SegSize) >= len(p.Data)) {
			t.Fatalf("an impossible super-packet: %+v", p)
		}
		var seg Segmenter
		if err := seg.Reset(&p); err != nil && p.GSO != GSONone && p.HdrLen <= maxHeader && int(p.HdrLen)+int(p.SegSize) <= MaxPacket {
			t.Fatalf("read as a super-packet but cannot be cut: %v", err)
		}
		for seg.Next() != nil {
		}
	})
}
