package gso

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"culvert/selector"
)

// mixed are the flows of mix: both protocols over both IP versions, most with small packets, two
// with so large ones that they fill a super-packet.
var mixed = sync.OnceValue(func() (flows [12][][]byte) {
	for i := range flows {
		size := 40 + i
		if i >= 10 {
			size = 3000
		}
		flows[i] = stream(i%2 == 0, i%4 >= 2, uint16(80+i), 32, size)
	}
	return flows
})

// mix is a batch that the octets of script choose: segments of some of the flows by one of two SAs,
// some of them lost, twice, or altered in a way of alterations.
func mix(script []byte) (in []arrivedPacket) {
	sas := [2]*source{{}, {}}
	flows, first := mixed(), 0
	used := len(flows)
	if len(script) > 0 {
		first, used = int(script[0])/len(flows), 1+int(script[0])%len(flows)
		script = script[1:]
	}
	var at [len(flows)]int
	for ; len(script) >= 4; script = script[4:] {
		f := (first + int(script[0]&0x7f)%used) % len(flows)
		p := bytes.Clone(flows[f][at[f]%32])
		switch op := int(script[1]) % 32; op {
		case 30: // lost
			at[f]++
		case 31: // twice
			at[f] += 31
		default:
			if op < len(alterations) {
				p = alterations[op](p, int(binary.LittleEndian.Uint16(script[1:])>>5), script[3])
			}
		}
		at[f]++
		var hdr selector.Packet
		if p != nil && selector.ParsePacket(p, &hdr) == nil {
			in = append(in, arrivedPacket{sas[script[0]>>7&script[1]>>7], p[:hdr.TotalLen]})
		}
	}
	return in
}

// upperOf is where the upper-layer header of a packet of stream begins.
func upperOf(p []byte) int {
	if p[0]>>4 == 4 {
		return 20
	}
	return 40
}

// setLength makes the lengths in the headers of a packet of stream those of p.
func setLength(p []byte) []byte {
	upper, _, udp, _ := slowHeaders(p)
	if p[0]>>4 == 4 {
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	} else {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	}
	if udp {
		binary.BigEndian.PutUint16(p[upper+4:], uint16(len(p)-upper))
	}
	fixSums(p)
	return p
}

// alterations are what can be done to a packet of stream, by two numbers. nil: nothing that makes
// sense.
var alterations = []func(p []byte, where int, value byte) []byte{
	func(p []byte, where int, value byte) []byte { // an octet, and the checksums with it
		p[where%len(p)] ^= value
		fixSums(p)
		return p
	},
	func(p []byte, where int, value byte) []byte { // an octet of the headers
		p[where%(upperOf(p)+8)] ^= value
		fixSums(p)
		return p
	},
	func(p []byte, where int, value byte) []byte { p[where%len(p)] ^= value; return p }, // an octet, and the checksums not
	func(p []byte, where int, _ byte) []byte { // shorter, down to no payload
		_, payload, _, _ := slowHeaders(p)
		return setLength(p[:payload+where%(len(p)-payload)])
	},
	func(p []byte, where int, _ byte) []byte { return setLength(append(p, make([]byte, 1+where%4)...)) }, // longer
	func(p []byte, _ int, value byte) []byte { // TCP flags
		if upper, _, udp, _ := slowHeaders(p); !udp {
			p[upper+13] ^= value
			fixSums(p)
		}
		return p
	},
	func(p []byte, where int, _ byte) []byte { // one TCP flag, or no UDP checksum
		upper, _, udp, _ := slowHeaders(p)
		if udp {
			clear(p[upper+6 : upper+8])
			return p
		}
		p[upper+13] ^= 1 << (where % 8)
		fixSums(p)
		return p
	},
	func(p []byte, where int, value byte) []byte { return identify(p, 0x40, uint16(where%3), value) }, // identifications hardly ever apart
	func(p []byte, where int, value byte) []byte { return identify(p, 0, uint16(where%3), value) },
	func(p []byte, where int, value byte) []byte { // a fragment, first or later
		if p[0]>>4 == 4 {
			p[6], p[7] = 0x20, value&1*100
			fixSums(p)
			return p
		}
		return withExtension(p, 44, [8]byte{2: byte(where % 2), 3: 1})
	},
	func(p []byte, _ int, _ byte) []byte { // options, or an extension header
		if p[0]>>4 == 6 {
			return withExtension(p, 60, [8]byte{2: 1, 3: 4})
		}
		p = slices.Insert(p, 20, 1, 1, 1, 1)
		p[0]++
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		fixSums(p)
		return p
	},
	func(p []byte, _ int, _ byte) []byte { // another TCP option, or another protocol
		upper, _, udp, _ := slowHeaders(p)
		if udp {
			p[map[byte]int{4: 9, 6: 6}[p[0]>>4]] = 47
		} else {
			p[upper+27]++
		}
		fixSums(p)
		return p
	},
	func(p []byte, _ int, _ byte) []byte { return append(p, 1, 2, 3) }, // padding for traffic flow confidentiality
}

func identify(p []byte, flags byte, id uint16, value byte) []byte {
	if p[0]>>4 == 4 {
		p[6] = flags
		binary.BigEndian.PutUint16(p[4:], id+uint16(value&1))
		fixSums(p)
	}
	return p
}

// withExtension is the IPv6 packet p with an extension header of eight octets.
func withExtension(p []byte, kind byte, header [8]byte) []byte {
	header[0] = p[6]
	p = slices.Insert(p, 40, header[:]...)
	p[6] = kind
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

// checkMix gathers what script makes, and checks that nothing is lost, altered or out of order, and
// that as much was gathered as may be.
func checkMix(t testing.TB, script []byte) (packets, writes int) {
	in := mix(script)
	g := newGathering(t, allOffloads)
	var hdr selector.Packet
	for _, p := range in {
		pkt := bytes.Clone(p.Pkt)
		if err := selector.ParsePacket(pkt, &hdr); err != nil {
			t.Fatal(err)
		}
		g.Add(p.By, pkt, &hdr)
	}
	g.Flush()
	var pkts [][]byte
	for _, p := range in {
		pkts = append(pkts, p.Pkt)
	}
	checkOrder(t, g.packets, pkts)
	flows := byFlow(t, pkts)
	if len(flows) > maxFlows {
		return len(in), len(g.writes)
	}
	var want []int
	for _, group := range slowGroups(in) {
		want = append(want, len(group))
	}
	if got := slices.Sorted(slices.Values(g.writes)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Fatalf("%d packets of %d flows in writes of %v, could be %v", len(in), len(flows), g.writes, want)
	}
	return len(in), len(g.writes)
}

// checkOrder compares what comes out with what went in: each flow by itself, and all of them before
// and behind each fragment.
func checkOrder(t testing.TB, out, in [][]byte) {
	t.Helper()
	for {
		i, o := slices.IndexFunc(in, slowFragment), slices.IndexFunc(out, slowFragment)
		if i < 0 && o < 0 {
			checkFlows(t, out, in)
			return
		}
		if i != o || !bytes.Equal(in[i], out[i]) {
			t.Fatalf("the next fragment is packet %d, was %d", o, i)
		}
		checkFlows(t, out[:i], in[:i])
		in, out = in[i+1:], out[i+1:]
	}
}

func TestCoalesceMixed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	packets, writes := 0, 0
	for range 150 {
		p, w := checkMix(t, randomScript(r, r.IntN(200)))
		packets, writes = packets+p, writes+w
	}
	if writes*3 > packets*2 {
		t.Errorf("%d packets in %d writes: the test tests little", packets, writes)
	}
}

// randomScript is for a mix of n packets, most of them as they were.
func randomScript(r *rand.Rand, n int) []byte {
	script := []byte{byte(r.Uint32())}
	for range n {
		step := [4]byte{byte(r.Uint32()), 29, byte(r.Uint32()), byte(r.Uint32())}
		if r.IntN(6) == 0 {
			step[1] = byte(r.Uint32())
		}
		script = append(script, step[:]...)
	}
	return script
}

func FuzzCoalesce(f *testing.F) {
	f.Add(append([]byte{0}, bytes.Repeat([]byte{1, 29, 0, 0}, 70)...))
	f.Add(append([]byte{131}, bytes.Repeat([]byte{1, 29, 0, 0}, 40)...))
	r := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		f.Add(randomScript(r, 60))
	}
	f.Fuzz(func(t *testing.T, script []byte) { checkMix(t, script[:min(len(script), 1+4*256)]) })
}
