package gso

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"culvert/internal/packettest"
	"culvert/selector"
)

// gathering is a Coalescer[*source] whose output is kept: what it writes, and that cut again by the
// plain code of the tun package.
type gathering struct {
	Coalescer[*source]
	writes  []int // how many packets each write held
	packets [][]byte
}

func newGathering(t testing.TB, can Offloads) *gathering {
	g := &gathering{}
	g.Can = can
	g.Out = func(_ *source, p *Packet, packets [][]byte) {
		g.writes = append(g.writes, len(packets))
		whole := *p
		whole.Data = bytes.Join(packets, nil)
		if len(whole.Data) > MaxPacket {
			t.Errorf("a super-packet of %d octets", len(whole.Data))
		}
		var cut Segmenter
		if err := cut.Reset(&whole); err != nil {
			t.Fatalf("%+v cannot be cut: %v", p, err)
		}
		if cut.Len() != len(packets) {
			t.Errorf("%d packets would be cut into %d", len(packets), cut.Len())
		}
		for pkt := cut.Next(); pkt != nil; pkt = cut.Next() {
			g.packets = append(g.packets, bytes.Clone(pkt))
		}
	}
	return g
}

// batch is one batch from c.
func (g *gathering) batch(t testing.TB, c *source, pkts [][]byte) {
	for _, p := range pkts {
		p = bytes.Clone(p)
		var hdr selector.Packet
		if err := selector.ParsePacket(p, &hdr); err != nil {
			t.Fatal(err)
		}
		g.Add(c, p[:hdr.TotalLen], &hdr)
	}
	g.Flush()
}

// check cuts the batch's super-packets again: flow by flow the same packets in the same order.
func (g *gathering) check(t testing.TB, in [][]byte) {
	t.Helper()
	checkFlows(t, g.packets, in)
}

func checkFlows(t testing.TB, out, in [][]byte) {
	t.Helper()
	want, got := byFlow(t, in), byFlow(t, out)
	if len(want) != len(got) {
		t.Fatalf("%d flows became %d", len(want), len(got))
	}
	for flow, list := range want {
		if len(got[flow]) != len(list) {
			t.Fatalf("%+v: %d packets became %d", flow, len(list), len(got[flow]))
		}
		for i, w := range list {
			if p := got[flow][i]; !bytes.Equal(alike(p), alike(w)) {
				t.Fatalf("%+v: packet %d\ngot  %x\nwant %x", flow, i, p, w)
			}
		}
	}
}

// byFlow is the packets of each flow. Fragments are of all flows between their hosts: here, one of
// their own.
func byFlow(t testing.TB, pkts [][]byte) map[selector.Flow][][]byte {
	m := map[selector.Flow][][]byte{}
	for _, p := range pkts {
		var hdr selector.Packet
		if err := selector.ParsePacket(p, &hdr); err != nil {
			t.Fatalf("%x: %v", p, err)
		}
		m[hdr.Flow] = append(m[hdr.Flow], p[:hdr.TotalLen])
	}
	return m
}

// alike is pkt without what GRO may change: the identification where nobody may fragment, with the
// checksum over it, and which of the two zeros a checksum is.
func alike(pkt []byte) []byte {
	b := oneZero(pkt)
	if b[0] == 0x45 && b[6] == 0x40 && fold(sum16(b[:20])) == 0xffff {
		clear(b[4:6])
		clear(b[10:12])
	}
	return b
}

var allOffloads = Offloads{Checksum: true, TSO: true, USO: true}

// stream is n segments of size octets of one flow.
func stream(v6, udp bool, port uint16, n, size int) (pkts [][]byte) {
	src, dst := netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("10.1.0.1")
	if v6 {
		src, dst = netip.MustParseAddr("2001:db8:2::1"), netip.MustParseAddr("2001:db8:1::1")
	}
	from, to := netip.AddrPortFrom(src, 1000), netip.AddrPortFrom(dst, port)
	for i := range n {
		data := packettest.RandomBytes(size + i)[i:]
		var pkt []byte
		if udp {
			pkt = udpPacket(from, to, true, data)
		} else {
			pkt = tcpPacket(from, to, 0xffffff00+uint32(i*size), 0x10, []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, data)
		}
		if !v6 {
			binary.BigEndian.PutUint16(pkt[4:], uint16(0xfffe+i))
		}
		fixSums(pkt)
		pkts = append(pkts, pkt)
	}
	return pkts
}

// fixSums makes the checksums of an unfragmented packet right after a change.
func fixSums(pkt []byte) {
	var hdr selector.Packet
	if selector.ParsePacket(pkt, &hdr) != nil || hdr.Fragment != selector.NotFragment {
		return
	}
	if hdr.Version == 4 {
		clear(pkt[10:12])
		binary.BigEndian.PutUint16(pkt[10:], ^fold(sum16(pkt[:hdr.HeaderLen])))
	}
	at := map[uint8]int{6: 16, 17: 6}[hdr.Protocol]
	upper := pkt[hdr.Upper:hdr.TotalLen]
	if at == 0 || len(upper) < at+2 {
		return
	}
	clear(upper[at : at+2])
	sum := ^fold(pseudoSum(hdr.Src, hdr.Dst, hdr.Protocol, len(upper)) + sum16(upper))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(upper[at:], sum)
}

func TestCoalesceRuns(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			t.Run(fmt.Sprintf("v6=%v udp=%v", v6, udp), func(t *testing.T) {
				in := stream(v6, udp, 80, 41, 1300)
				g := newGathering(t, allOffloads)
				g.batch(t, nil, in)
				g.check(t, in)
				if len(g.writes) != 1 {
					t.Errorf("41 segments were written in %v", g.writes)
				}
			})
		}
	}
}

// TestCoalesceLimits: no more octets than an IP packet has, no more segments than the kernel's own.
func TestCoalesceLimits(t *testing.T) {
	for _, size := range []int{8, 1400, 9000} {
		in := stream(false, false, 80, 200, size)
		g := newGathering(t, allOffloads)
		g.batch(t, nil, in)
		g.check(t, in)
		most := min(maxGathered, (MaxPacket-52)/size)
		if want := (200 + most - 1) / most; len(g.writes) != want {
			t.Errorf("200 segments of %d octets in %d writes, want %d: %v", size, len(g.writes), want, g.writes)
		}
	}
}

// TestCoalesceEnds: a shorter segment, PSH and FIN may be the last of a super-packet, and only the
// last.
func TestCoalesceEnds(t *testing.T) {
	short := func(p []byte) []byte {
		p = p[:len(p)-100]
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		return p
	}
	flags := func(f byte) func([]byte) []byte { return func(p []byte) []byte { p[33] |= f; return p } }
	for name, tc := range map[string]struct {
		at     int
		change func([]byte) []byte
		want   []int
	}{
		"PSH on the last":  {4, flags(0x08), []int{5}},
		"FIN on the last":  {4, flags(0x01), []int{5}},
		"PSH in between":   {2, flags(0x08), []int{3, 2}},
		"FIN on the first": {0, flags(0x01), []int{1, 4}},
		"short last":       {4, short, []int{5}},
		"short in between": {2, short, []int{3, 2}},
		"SYN":              {2, flags(0x02), []int{2, 1, 2}},
		"RST":              {2, flags(0x04), []int{2, 1, 2}},
		"URG":              {2, flags(0x20), []int{2, 1, 2}},
		"CWR":              {2, flags(0x80), []int{2, 1, 2}},
		"ECE":              {2, flags(0x40), []int{2, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			in := stream(false, false, 80, 5, 500)
			in[tc.at] = tc.change(in[tc.at])
			fixSums(in[tc.at])
			g := newGathering(t, allOffloads)
			g.batch(t, nil, in)
			g.check(t, in)
			if fmt.Sprint(g.writes) != fmt.Sprint(tc.want) {
				t.Errorf("writes of %v packets, want %v", g.writes, tc.want)
			}
		})
	}
}

// TestCoalesceLone: segments that all bear a flag which is for one packet only stay by themselves,
// however alike they are; ECE is a state, not an event.
func TestCoalesceLone(t *testing.T) {
	for flag, want := range map[byte]int{0x02: 5, 0x04: 5, 0x20: 5, 0x80: 5, 0x40: 1} {
		in := stream(true, false, 80, 5, 500)
		for _, p := range in {
			p[53] |= flag
			fixSums(p)
		}
		g := newGathering(t, allOffloads)
		g.batch(t, nil, in)
		g.check(t, in)
		if len(g.writes) != want {
			t.Errorf("flag %#x: writes %v, want %d", flag, g.writes, want)
		}
	}
}

// TestCoalesceRefuses: a second packet that differs from what would follow the first in one thing
// goes by itself.
func TestCoalesceRefuses(t *testing.T) {
	set := func(at int, v byte) func([]byte) []byte { return func(p []byte) []byte { p[at] ^= v; return p } }
	longer := func(p []byte) []byte {
		p = append(p, 1, 2)
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		return p
	}
	for name, tc := range map[string]struct {
		v6, udp, broken bool
		change          func([]byte) []byte
	}{
		"v4 TOS": {change: set(1, 0x10)}, "v4 ECN": {change: set(1, 0x03)}, "v4 TTL": {change: set(8, 1)}, "v4 ID": {change: set(5, 7)}, "v4 DF": {change: set(6, 0x40)},
		"v4 reserved bit": {change: set(6, 0x80)}, "v4 checksum": {broken: true, change: set(10, 1)},
		"v6 class": {v6: true, change: set(0, 1)}, "v6 ECN": {v6: true, change: set(1, 0x30)}, "v6 label": {v6: true, change: set(3, 1)}, "v6 hop limit": {v6: true, change: set(7, 1)},
		"sequence": {change: set(27, 1)}, "ack": {change: set(31, 1)}, "reserved": {change: set(32, 1)}, "window": {change: set(35, 1)}, "urgent": {change: set(39, 1)},
		"option": {change: set(45, 1)}, "longer": {change: longer}, "TCP checksum": {broken: true, change: set(60, 1)}, "TCP checksum v6": {v6: true, broken: true, change: set(90, 1)},
		"UDP checksum": {udp: true, broken: true, change: set(60, 1)}, "UDP no checksum": {udp: true, broken: true, change: func(p []byte) []byte { clear(p[26:28]); return p }},
		"UDP length": {udp: true, broken: true, change: set(25, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			in := stream(tc.v6, tc.udp, 80, 2, 400)
			in[1] = tc.change(in[1])
			if !tc.broken {
				fixSums(in[1])
			}
			for range 2 { // whichever comes first
				g := newGathering(t, allOffloads)
				g.batch(t, nil, in)
				g.check(t, in)
				if len(g.writes) != 2 || !bytes.Equal(g.packets[1], in[1]) || !bytes.Equal(g.packets[0], in[0]) {
					t.Errorf("writes of %v packets", g.writes)
				}
				in[0], in[1] = in[1], in[0]
			}
		})
	}
}

// TestCoalesceFixedID: packets that must not be fragmented and all have one identification are
// gathered as well.
func TestCoalesceFixedID(t *testing.T) {
	in := stream(false, false, 80, 10, 400)
	for i, p := range in {
		binary.BigEndian.PutUint16(p[4:], 0)
		if i == 9 {
			binary.BigEndian.PutUint16(p[4:], 9)
		}
		fixSums(p)
	}
	g := newGathering(t, allOffloads)
	g.batch(t, nil, in)
	g.check(t, in)
	if fmt.Sprint(g.writes) != "[9 1]" {
		t.Errorf("writes %v", g.writes)
	}
}

// TestCoalesceWithout: a device without an offload gets each packet by itself, and an SA's packets
// are not mixed with another's.
func TestCoalesceWithout(t *testing.T) {
	for _, udp := range []bool{false, true} {
		in := stream(false, udp, 80, 5, 400)
		for can, want := range map[Offloads]bool{{Checksum: true, TSO: true}: !udp, {Checksum: true, USO: true}: udp, {}: false} {
			g := newGathering(t, can)
			g.batch(t, nil, in)
			g.check(t, in)
			if (len(g.writes) == 1) != want {
				t.Errorf("udp %v, offloads %s: writes %v", udp, can, g.writes)
			}
		}
	}
	in := stream(false, false, 80, 4, 400)
	g, hdr := newGathering(t, allOffloads), selector.Packet{}
	a, b := &source{}, &source{}
	for i, p := range in {
		if err := selector.ParsePacket(p, &hdr); err != nil {
			t.Fatal(err)
		}
		g.Add([]*source{a, a, b, b}[i], bytes.Clone(p), &hdr)
	}
	g.Flush()
	g.check(t, in)
	if fmt.Sprint(g.writes) != "[2 2]" {
		t.Errorf("two SAs: writes %v", g.writes)
	}
}

// TestCoalesceInterleaved: flows are gathered side by side, up to a limit, and beyond it still keep
// their order.
func TestCoalesceInterleaved(t *testing.T) {
	for flows, want := range map[int]int{maxFlows: maxFlows, maxFlows + 1: (maxFlows + 1) * 10} {
		var in [][]byte
		for i := range 10 {
			for f := range flows {
				in = append(in, stream(f%2 == 0, f%3 == 0, uint16(80+f), 10, 600)[i])
			}
		}
		g := newGathering(t, allOffloads)
		g.batch(t, nil, in)
		g.check(t, in)
		if len(g.writes) != want {
			t.Errorf("%d flows in %d writes, want %d", flows, len(g.writes), want)
		}
	}
}

// TestCoalescePushed: a flow whose segments are sent on again and again takes one place, not one
// for each time, so that no other must go.
func TestCoalescePushed(t *testing.T) {
	long, pushed := stream(false, false, 80, 40, 600), stream(false, false, 81, 40, 600)
	var in [][]byte
	for i := range long {
		if i%2 == 1 {
			pushed[i][33] |= 0x08
			fixSums(pushed[i])
		}
		in = append(in, long[i], pushed[i])
	}
	g := newGathering(t, allOffloads)
	g.batch(t, nil, in)
	g.check(t, in)
	if len(g.writes) != 1+len(pushed)/2 {
		t.Errorf("writes %v", g.writes)
	}
}

// TestCoalesceFragment: what a fragment belongs to does not overtake it.
func TestCoalesceFragment(t *testing.T) {
	in := stream(false, true, 80, 4, 400)
	fragment := bytes.Clone(in[2])
	fragment[7] = 200 // its offset
	fixHeader := func(p []byte) {
		clear(p[10:12])
		binary.BigEndian.PutUint16(p[10:], ^fold(sum16(p[:20])))
	}
	fixHeader(fragment)
	in[2] = fragment
	g := newGathering(t, allOffloads)
	g.batch(t, nil, in)
	for i, p := range in {
		if !bytes.Equal(alike(g.packets[i]), alike(p)) {
			t.Errorf("packet %d is another: %v", i, g.writes)
		}
	}
}

func TestCoalesceDoesNotAllocate(t *testing.T) {
	in := append(stream(false, false, 80, 40, 1300), stream(true, true, 80, 40, 1300)...)
	var hdr selector.Packet
	var g Coalescer[*source]
	g.Can, g.Out = allOffloads, func(*source, *Packet, [][]byte) {}
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range in {
			if selector.ParsePacket(p, &hdr) == nil {
				g.Add(nil, p, &hdr)
			}
		}
		g.Flush()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCoalesceDiscard: after Discard nothing is left of what was gathered, and the next batch is
// gathered as usual.
func TestCoalesceDiscard(t *testing.T) {
	g := newGathering(t, allOffloads)
	a, b := stream(false, false, 80, 3, 600), stream(true, true, 81, 3, 600)
	from := &source{}
	for _, p := range [][]byte{a[0], b[0], a[1], b[1]} {
		hdr := packettest.Parse(t, p)
		g.Add(from, bytes.Clone(p), hdr)
	}
	g.Discard()
	for i := range g.flows {
		if g.flows[i].from != nil || g.flows[i].n != 0 {
			t.Errorf("place %d still holds %d packets", i, g.flows[i].n)
		}
	}
	if g.Flush(); len(g.writes) != 0 {
		t.Errorf("writes after Discard: %v", g.writes)
	}
	g.batch(t, from, a)
	if g.check(t, a); len(g.writes) != 1 {
		t.Errorf("writes %v, want one", g.writes)
	}
}
