package esp

import (
	"fmt"
	"testing"
)

var benchSizes = []int{64, 512, 1400}

// benchSizesOf runs f for each payload size, counting payload octets.
func benchSizesOf(b *testing.B, f func(b *testing.B, n int)) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			f(b, n)
		})
	}
}

// BenchmarkSeal is a packet as the dataplane seals it: reserved alone, in place.
func BenchmarkSeal(b *testing.B) {
	benchSizesOf(b, func(b *testing.B, n int) {
		o, buf := mustOut(b, pair(aes128, true, 4096)), make([]byte, 2000)
		var s Scratch
		for b.Loop() {
			seq, _, err := o.Reserve(1, n)
			if err != nil {
				b.Fatal(err)
			}
			o.Seal(&s, buf, seq, buf[Headroom:Headroom+n], NextIPv4)
		}
	})
}

// BenchmarkSealRun is a segment of a super-packet of 40: reserved together, sealed from one buffer into another.
func BenchmarkSealRun(b *testing.B) {
	benchSizesOf(b, func(b *testing.B, n int) {
		o, dst, src := mustOut(b, pair(aes128, true, 4096)), make([]byte, 2000), make([]byte, 2000)
		var s Scratch
		var seq uint64
		left := 0
		for b.Loop() {
			if left == 0 {
				left = 40
				seq, _, _ = o.Reserve(40, 40*n)
			}
			o.Seal(&s, dst, seq, src[:n], NextIPv4)
			seq++
			left--
		}
	})
}

// BenchmarkRawSeal is what the cipher alone takes for the same octets.
func BenchmarkRawSeal(b *testing.B) {
	benchSizesOf(b, func(b *testing.B, n int) {
		o, buf := mustOut(b, pair(aes128, true, 4096)), make([]byte, 2000)
		var s Scratch
		nonce, aad := s.prepare(&o.keyed, 1, buf)
		text := buf[Headroom : Headroom+padded(n)]
		for b.Loop() {
			o.aead.Seal(text[:0], nonce, text, aad)
		}
	})
}

// openRun is how many packets are opened before the same ones come again.
const openRun = 128

// sealedRun is that many packets, of numbers 1 on, each in room of its own.
func sealedRun(b *testing.B, sa *ChildSA, n int) (pkts [][]byte) {
	o := mustOut(b, sa)
	var s Scratch
	for seq := uint64(1); seq <= openRun; seq++ {
		pkts = append(pkts, o.Seal(&s, make([]byte, n+MaxOverhead), seq, text(n), NextIPv4))
	}
	return pkts
}

// BenchmarkOpen is a packet as the dataplane opens it. As opening in place destroys the packet, both this and BenchmarkRawOpen first copy it; after each run the
// window forgets, so that the run can be opened again.
func BenchmarkOpen(b *testing.B) {
	benchSizesOf(b, func(b *testing.B, n int) {
		sa := pair(aes128, true, 4096)
		in, pkts, buf, i := mustIn(b, sa), sealedRun(b, sa, n), make([]byte, 2000), 0
		var s Scratch
		for b.Loop() {
			if i++; i == openRun {
				i = 0
				in.window.init(4096)
				in.window.top.Store(0)
			}
			if _, err := in.Open(&s, buf[:copy(buf, pkts[i])]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRawOpen is what the cipher alone takes for the same octets.
func BenchmarkRawOpen(b *testing.B) {
	benchSizesOf(b, func(b *testing.B, n int) {
		sa := pair(aes128, true, 4096)
		in, pkts, buf, i := mustIn(b, sa), sealedRun(b, sa, n), make([]byte, 2000), 0
		var s [openRun]Scratch
		for seq := range s {
			s[seq].prepare(&in.keyed, uint64(seq)+1, pkts[seq])
		}
		for b.Loop() {
			if i++; i == openRun {
				i = 0
			}
			text := buf[Headroom:copy(buf, pkts[i])]
			if _, err := in.aead.Open(text[:0], s[i].nonce[:], text, s[i].aad[:]); err != nil {
				b.Fatal(err)
			}
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

func BenchmarkWindow(b *testing.B) {
	w := newWindow(4096, 0)
	seq := uint64(0)
	for b.Loop() {
		seq++
		tryNumber(w, seq)
	}
}

func BenchmarkTrailer(b *testing.B) {
	buf := make([]byte, 1408)
	for b.Loop() {
		writeTrailer(buf, 1405, NextIPv4)
		cutTrailer(buf)
	}
}
