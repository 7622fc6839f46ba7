package gso

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"culvert/internal/ipheader"
	"culvert/internal/packettest"
)

// super makes a built packet a super-packet as the kernel gives it: with the pseudo-header's sum
// alone in the checksum field.
func super(t testing.TB, pkt []byte, segSize int) *Packet {
	t.Helper()
	var l layout
	if err := l.parse(pkt); err != nil {
		t.Fatalf("the test's own packet: %v", err)
	}
	src, dst := l.addresses(pkt)
	binary.BigEndian.PutUint16(pkt[l.start+l.csumOffset():], ipheader.PseudoSum(src, dst, l.proto, len(pkt)-l.start))
	p := &Packet{Data: pkt, SegSize: uint16(segSize), HdrLen: uint16(l.payload), NeedsChecksum: true,
		CsumStart: uint16(l.start), CsumOffset: uint16(l.csumOffset())}
	switch {
	case l.proto == protoUDP:
		p.GSO = UDP
	case l.v6:
		p.GSO = TCPv6
	default:
		p.GSO = TCPv4
	}
	return p
}

func samples() map[string]packettest.Sample {
	pay := packettest.RandomBytes(5000)
	return map[string]packettest.Sample{
		"tcp4":               {Seq: 0xfffffff0, ID: 0xffff, Flags: 0x10, Payload: pay},
		"tcp4 fin psh cwr":   {Flags: 0x10 | ipheader.TCPFIN | ipheader.TCPPSH | ipheader.TCPCWR, Payload: pay},
		"tcp4 options":       {IPOptions: 8, TCPOptions: 12, Flags: 0x18, Payload: pay},
		"tcp6":               {V6: true, TCPOptions: 12, Flags: 0x18, Seq: 7, Payload: pay},
		"tcp6 extension":     {V6: true, IPOptions: 16, TCPOptions: 20, Flags: 0x99, Payload: pay},
		"udp4":               {UDP: true, ID: 9, Payload: pay},
		"udp6":               {V6: true, UDP: true, Payload: pay},
		"udp6 extension":     {V6: true, UDP: true, IPOptions: 8, Payload: pay[:4001]},
		"tcp4 exact":         {Flags: 0x18, Payload: pay[:4000]},
		"tcp4 one too many":  {Flags: 0x18, Payload: pay[:4001]},
		"tcp4 single":        {Flags: 0x18, Payload: pay[:1000]},
		"tcp4 short last":    {Flags: 0x18, Payload: pay[:1003]},
		"tcp4 without data":  {Flags: 0x10},
		"udp4 zero checksum": {UDP: true, Payload: zeroSumPayload()},
	}
}

// zeroSumPayload makes a UDP packet of samples' addresses and ports whose checksum comes out as
// zero, which must be sent as all ones.
func zeroSumPayload() []byte {
	s := packettest.Sample{UDP: true, Payload: make([]byte, 1000)}
	pkt := s.Build()
	// The field is the complement of all else: put into the data, it makes the whole sum all ones.
	copy(s.Payload, pkt[ipheader.IPv4Len+ipheader.UDPChecksum:][:2])
	return s.Payload
}

func TestSegmenterMatchesReference(t *testing.T) {
	for name, s := range samples() {
		for _, size := range []int{1000, 536, 1448, 1} {
			if size == 1 && len(s.Payload) > 2000 {
				continue
			}
			checkSegments(t, name, s, size)
		}
	}
}

func checkSegments(t *testing.T, name string, s packettest.Sample, size int) {
	t.Helper()
	want := s.Cut(size)
	buf := s.Build()
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
	s := packettest.Sample{Flags: 0x18, Payload: packettest.RandomBytes(77)}
	want := s.Build()
	p := super(t, s.Build(), 0)
	p.GSO = None
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
	good := packettest.Sample{Flags: 0x18, Payload: packettest.RandomBytes(3000)}
	for name, spoil := range map[string]func(p *Packet){
		"no segment size":    func(p *Packet) { p.SegSize = 0 },
		"fragment":           func(p *Packet) { p.Data[6] = 0x20 },
		"another protocol":   func(p *Packet) { p.Data[9] = 1 },
		"UDP called TCP":     func(p *Packet) { p.GSO = UDP },
		"TCP offset too big": func(p *Packet) { p.Data, p.Data[32] = p.Data[:50], 0xf0 },
		"TCP offset small":   func(p *Packet) { p.Data[32] = 0x40 },
		"header length":      func(p *Packet) { p.Data[0] = 0x44 },
		"empty":              func(p *Packet) { p.Data = nil },
		"version 5":          func(p *Packet) { p.Data[0] = 0x55 },
	} {
		p := super(t, good.Build(), 1000)
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

// TestLargestSegment: a segment may be as large as a packet, and no larger.
func TestLargestSegment(t *testing.T) {
	sample := packettest.Sample{Flags: 0x18, Payload: packettest.RandomBytes(3000)}
	header := len(sample.Build()) - 3000
	var seg Segmenter
	if err := seg.Reset(super(t, sample.Build(), MaxPacket-header)); err != nil || len(seg.Next()) != header+3000 {
		t.Errorf("a segment size that just fits: %v", err)
	}
	if err := seg.Reset(super(t, sample.Build(), MaxPacket-header+1)); !errors.Is(err, errSegment) {
		t.Errorf("a segment size one larger: %v", err)
	}
}

// TestSplitter: one whole packet is given as it is; pieces are joined, completed and cut; the first
// error ends the packet.
func TestSplitter(t *testing.T) {
	whole := packettest.Sample{Flags: 0x18, Payload: packettest.RandomBytes(77)}
	var s Splitter
	var got [][]byte
	keep := func(p []byte) error {
		got = append(got, p)
		return nil
	}
	pkt := whole.Build()
	if err := s.Write(&Packet{}, [][]byte{pkt}, keep); err != nil || len(got) != 1 || &got[0][0] != &pkt[0] {
		t.Errorf("a whole packet: %d packets, %v, want itself", len(got), err)
	}
	got = nil
	p := super(t, whole.Build(), 0)
	p.GSO = None
	if err := s.Write(p, [][]byte{p.Data}, keep); err != nil || len(got) != 1 || !bytes.Equal(got[0], pkt) {
		t.Errorf("an unfinished packet: %x, %v, want %x", got, err, pkt)
	}
	got = nil
	if err := s.Write(&Packet{}, [][]byte{pkt[:50], pkt[50:]}, keep); err != nil || len(got) != 1 || !bytes.Equal(got[0], pkt) {
		t.Errorf("two pieces: %x, %v, want %x", got, err, pkt)
	}
	big := packettest.Sample{Flags: 0x18, Payload: packettest.RandomBytes(2500)}
	want := big.Cut(1000)
	n := 0
	p = super(t, big.Build(), 1000)
	if err := s.Write(p, [][]byte{p.Data[:40], p.Data[40:1500], p.Data[1500:]}, func(p []byte) error {
		if !bytes.Equal(p, want[n]) {
			t.Errorf("segment %d: %x, want %x", n, p, want[n])
		}
		n++
		return nil
	}); err != nil || n != len(want) {
		t.Errorf("a super-packet: %d segments, %v, want %d", n, err, len(want))
	}
	n = 0
	full := errors.New("full")
	if err := s.Write(super(t, big.Build(), 1000), [][]byte{big.Build()}, func([]byte) error {
		n++
		return full
	}); !errors.Is(err, full) || n != 1 {
		t.Errorf("after an error: %d segments, %v", n, err)
	}
	if err := s.Write(super(t, big.Build(), 1000), [][]byte{{0x45}}, keep); err == nil {
		t.Error("what is no packet was written")
	}
}
func FuzzSegmenter(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.Build(), uint16(1000), uint8(1), uint16(20), uint16(16))
		f.Add(s.Build(), uint16(1), uint8(3), uint16(28), uint16(6))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint16, kind uint8, start, off uint16) {
		p := Packet{Data: bytes.Clone(data), GSO: Type(kind % 4), SegSize: size, NeedsChecksum: kind < 128, CsumStart: start, CsumOffset: off}
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
