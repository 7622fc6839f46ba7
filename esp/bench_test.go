package esp

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// benchRun is the packets of a run: about what one super-packet, or one receive with UDP_GRO, is.
const benchRun = 40

// versus measures esp against its cipher alone. Each step of the benchmark passes one run of
// packets through both, one right after the other. The fastest run of each counts, since other work
// of the machine can only make a run slower. Metrics, each for one packet:
//
//	x-raw     throughput of esp over that of the cipher
//	raw-ns    the cipher
//	extra-ns  what esp adds
func versus(b *testing.B, refill, raw, ours func()) {
	b.ReportAllocs()
	fastest := func(best *time.Duration, run func()) {
		start := time.Now()
		run()
		*best = min(*best, time.Since(start))
	}
	rawBest, oursBest := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for b.Loop() {
		refill()
		fastest(&rawBest, raw)
		refill()
		fastest(&oursBest, ours)
	}
	b.ReportMetric(float64(rawBest)/float64(oursBest), "x-raw")
	b.ReportMetric(float64(rawBest)/benchRun, "raw-ns")
	b.ReportMetric(float64(oursBest-rawBest)/benchRun, "extra-ns")
	b.ReportMetric(0, "ns/op") // of both, and of what is between them: says nothing
}

// benchSizes runs f for each payload size.
func benchSizes(b *testing.B, f func(b *testing.B, n int)) {
	for _, n := range []int{64, 512, 1400} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { f(b, n) })
	}
}

// bench is an SA and room for a run of its packets.
type bench struct {
	out     *Outbound
	in      *Inbound
	inner   []byte // the payloads of a super-packet, end to end
	packets [benchRun][]byte
	run     [benchRun]Packet
	scratch [benchRun]Scratch // for the cipher alone
	s       Scratch
}

func newBench(b *testing.B, c Cipher, n int) *bench {
	sa := pair(c, true, 4096)
	x := &bench{out: mustOut(b, sa), in: mustIn(b, sa), inner: make([]byte, benchRun*n+Tailroom)}
	for i := range x.packets {
		x.packets[i] = make([]byte, x.out.SealedLen(n))
	}
	return x
}

// fill seals the next run.
func (x *bench) fill(n int) {
	first, _, _ := x.out.Reserve(benchRun, benchRun*n)
	for i, pkt := range x.packets {
		seq := first + uint64(i)
		x.out.Seal(&x.s, pkt, seq, x.inner[i*n:][:n], NextIPv4)
		if x.in.IV == usualIV {
			x.scratch[i].prepare(&x.in.keyed, pkt, seq)
		}
		x.run[i] = Packet{Data: pkt}
	}
}

func (x *bench) must(a Arrival) {
	if a != (Arrival{Authentic: true, Newest: true}) {
		panic("a good run was refused")
	}
}

// aeadOf returns the cipher alone.
func aeadOf(k *keyed) aead {
	if k.whole != nil {
		return k.whole
	}
	return k.other.(*aeadTransform).aead
}

// benchSeal measures seal.
func benchSeal(b *testing.B, apart bool, seal func(x *bench, n int)) {
	benchSizes(b, func(b *testing.B, n int) {
		x := newBench(b, aes128, n)
		raw := aeadOf(&x.out.keyed)
		versus(b, func() { x.fill(n) }, func() {
			for i, pkt := range x.packets {
				text := pkt[usualHeadroom : len(pkt)-usualICV]
				if apart {
					text = x.inner[i*n:][:usualPadded(n)]
				}
				raw.Seal(pkt[usualHeadroom:usualHeadroom], x.scratch[i].nonce[:], text, x.scratch[i].aad[:])
			}
		}, func() { seal(x, n) })
	})
}

// BenchmarkSealRun seals the segments of a super-packet, reserved together, from one buffer into
// another.
func BenchmarkSealRun(b *testing.B) {
	benchSeal(b, true, func(x *bench, n int) {
		first, _, _ := x.out.Reserve(benchRun, benchRun*n)
		for i, pkt := range x.packets {
			x.out.Seal(&x.s, pkt, first+uint64(i), x.inner[i*n:][:n], NextIPv4)
		}
	})
}

// BenchmarkSealEach is packets that come one by one: each reserved alone, and sealed in place.
func BenchmarkSealEach(b *testing.B) {
	benchSeal(b, false, func(x *bench, n int) {
		for _, pkt := range x.packets {
			seq, _, _ := x.out.Reserve(1, n)
			x.out.Seal(&x.s, pkt, seq, pkt[usualHeadroom:usualHeadroom+n], NextIPv4)
		}
	})
}

// benchOpen measures open.
func benchOpen(b *testing.B, open func(x *bench)) {
	benchSizes(b, func(b *testing.B, n int) {
		x := newBench(b, aes128, n)
		raw := aeadOf(&x.in.keyed)
		versus(b, func() { x.fill(n) }, func() {
			for i, pkt := range x.packets {
				text := pkt[usualHeadroom:]
				if _, err := raw.Open(text[:0], x.scratch[i].nonce[:], text, x.scratch[i].aad[:]); err != nil {
					panic(err)
				}
			}
		}, func() { open(x) })
	})
}

// BenchmarkOpenRun is what came in one receive.
func BenchmarkOpenRun(b *testing.B) {
	benchOpen(b, func(x *bench) { x.must(x.in.Open(&x.s, x.run[:])) })
}

// BenchmarkOpenEach is packets that come one by one.
func BenchmarkOpenEach(b *testing.B) {
	benchOpen(b, func(x *bench) {
		for i := range x.run {
			x.must(x.in.Open(&x.s, x.run[i:i+1]))
		}
	})
}

// The parts apart.

func BenchmarkReserve(b *testing.B) {
	o := mustOut(b, pair(aes128, true, 4096))
	for b.Loop() {
		o.Reserve(1, 1400)
	}
}

// BenchmarkWindow is one packet, check and acceptance.
func BenchmarkWindow(b *testing.B) {
	w := newWindow(4096, 0)
	seq := uint64(0)
	for b.Loop() {
		seq++
		tryNumber(w, seq)
	}
}

// BenchmarkAccept measures acceptance and the counters, with runs of decrypted packets. ns/packet
// is for each packet.
func BenchmarkAccept(b *testing.B) {
	in := mustIn(b, pair(aes128, true, 4096))
	var run [benchRun]Packet
	seq := uint64(0)
	for b.Loop() {
		for i := range run {
			seq++
			run[i] = Packet{Seq: seq, authentic: true}
		}
		in.Accept(run[:])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRun, "ns/packet")
}

func BenchmarkTrailer(b *testing.B) {
	buf := make([]byte, 1403+Tailroom)
	var p Packet
	for b.Loop() {
		putTrailer(buf[1403:], 5, NextIPv4)
		p.cutTrailer(buf[:1408])
	}
}
