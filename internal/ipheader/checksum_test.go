package ipheader_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipheader"
	"culvert/internal/packettest"
)

// maxSummed is the length of the largest packet.
const maxSummed = 65535

// referenceSum returns the sum of b as the text of RFC 1071 has it.
func referenceSum(b []byte) uint16 { return packettest.Fold(packettest.Sum16(b)) }

// eachSum calls f with each way to sum that this processor has.
func eachSum(t *testing.T, f func(t *testing.T)) {
	t.Run("fast", f)
	had := *ipheader.FastSum
	defer func() { *ipheader.FastSum = had }()
	*ipheader.FastSum = false
	t.Run("plain", f)
}

// TestSumAnywhere compares sums with those of RFC 1071's text: for all alignments and many lengths,
// all ones among them.
func TestSumAnywhere(t *testing.T) {
	eachSum(t, func(t *testing.T) {
		const most = 3 * maxSummed // beyond what the fast way takes at once
		buf, ones := make([]byte, most), make([]byte, most)
		r := rand.NewChaCha8([32]byte{7})
		_, _ = r.Read(buf)
		for i := range ones {
			ones[i] = 0xff
		}
		for _, data := range [][]byte{buf, ones, make([]byte, most)} {
			if got, want := ipheader.Sum(0, data), referenceSum(data); got != want {
				t.Fatalf("%d octets: %#04x, want %#04x", most, got, want)
			}
			for start := range 33 {
				for n := start; n < 700; n += 1 + start%3 {
					if got, want := ipheader.Sum(0x1234, data[start:start+n]), referenceSum(append([]byte{0x12, 0x34}, data[start:start+n]...)); got != want {
						t.Fatalf("%d octets from %d: %#04x, want %#04x", n, start, got, want)
					}
				}
				n := maxSummed - start
				if got, want := ipheader.Sum(0, data[start:start+n]), referenceSum(data[start:start+n]); got != want {
					t.Fatalf("%d octets from %d: %#04x, want %#04x", n, start, got, want)
				}
			}
		}
	})
}

func TestSumMatchesReference(t *testing.T) {
	b := make([]byte, 300)
	_, _ = rand.NewChaCha8([32]byte{8}).Read(b)
	for n := range b {
		for _, initial := range []uint16{0, 1, 0x8000, 0xffff} {
			got := ipheader.Sum(initial, b[:n])
			want := referenceSum(append([]byte{byte(initial >> 8), byte(initial)}, b[:n]...))
			if got != want && got^want != 0xffff { // 0 and 0xffff are the same number
				t.Fatalf("ipheader.Sum(%#x, %d octets) = %#04x, want %#04x", initial, n, got, want)
			}
		}
	}
	full := bytes.Repeat([]byte{0xff}, 65535)
	if got, want := ipheader.Sum(0, full), referenceSum(full); got != want {
		t.Fatalf("all ones: %#x, want %#x", got, want)
	}
}

// BenchmarkSum alternates short runs of the two ways, and takes the fastest of each: other load can
// only make one slower. x-plain is the plain way's time over the fast one's.
func BenchmarkSum(b *testing.B) {
	had := *ipheader.FastSum
	defer func() { *ipheader.FastSum = had }()
	const run = 50
	buf := make([]byte, 1500)
	for _, n := range []int{20, 64, 128, 256, 512, 1400} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			best := map[bool]time.Duration{false: math.MaxInt64, true: math.MaxInt64}
			for b.Loop() {
				for _, fast := range []bool{had, false} {
					*ipheader.FastSum = fast
					start := time.Now()
					for range run {
						ipheader.Sum(0, buf[:n])
					}
					best[fast] = min(best[fast], time.Since(start))
				}
			}
			b.ReportMetric(float64(best[false])/float64(best[had]), "x-plain")
			b.ReportMetric(float64(best[had])/run, "ns")
			b.ReportMetric(0, "ns/op") // of both: says nothing
		})
	}
}

// TestUpdate: the example of RFC 1624, Section 4, that the older equation gets wrong, and each word
// of headers at even and odd offsets.
func TestUpdate(t *testing.T) {
	if got := ipheader.Update(0xdd2f, 0x5555, 0x3285, false); got != 0x0000 {
		t.Errorf("got %#x, want 0", got)
	}
	b := make([]byte, 60)
	r := rand.NewChaCha8([32]byte{9})
	_, _ = r.Read(b)
	for at := range len(b) - 1 {
		sum, old := ^ipheader.Sum(0, b), binary.BigEndian.Uint16(b[at:])
		now := uint16(r.Uint64())
		binary.BigEndian.PutUint16(b[at:], now)
		if got, want := ipheader.Update(sum, old, now, at%2 != 0), ^ipheader.Sum(0, b); got != want {
			t.Errorf("word at %d: %#04x, want %#04x", at, got, want)
		}
	}
}

// TestReplace: an address in a header gets another; a wrong checksum stays as wrong.
func TestReplace(t *testing.T) {
	pkt := packettest.UDPPacket(src4, dst4, true, []byte("data"))
	ipheader.Replace(pkt[12:16], []byte{192, 0, 2, 77}, pkt[ipheader.IPv4Checksum:])
	if got := netip.AddrFrom4([4]byte(pkt[12:16])); got != netip.MustParseAddr("192.0.2.77") {
		t.Errorf("source %v", got)
	}
	if got := packettest.Fold(packettest.Sum16(pkt[:20])); got != 0xffff {
		t.Errorf("sum of the header %#x", got)
	}
	pkt[8]-- // the time to live, without the checksum
	ipheader.Replace(pkt[16:20], []byte{198, 51, 100, 1}, pkt[ipheader.IPv4Checksum:])
	if got := packettest.Fold(packettest.Sum16(pkt[:20])); got != 0xffff-0x100 {
		t.Errorf("sum of the damaged header %#x, want %#x", got, 0xffff-0x100)
	}
}
