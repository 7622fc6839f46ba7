package tun

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// each way to sum that this processor has.
func eachSum(t *testing.T, f func(t *testing.T)) {
	t.Run("fast", f)
	had := fastSum
	defer func() { fastSum = had }()
	fastSum = false
	t.Run("plain", f)
}

// TestSumAnywhere: wherever the octets begin and however many they are, all ones among them, the sum is RFC 1071's.
func TestSumAnywhere(t *testing.T) {
	eachSum(t, func(t *testing.T) {
		const most = 3 * MaxPacket // beyond what the fast way takes at once
		buf, ones := make([]byte, most), make([]byte, most)
		r := rand.NewChaCha8([32]byte{7})
		_, _ = r.Read(buf)
		for i := range ones {
			ones[i] = 0xff
		}
		for _, data := range [][]byte{buf, ones, make([]byte, most)} {
			if got, want := Sum(0, data), slowSum(data); got != want {
				t.Fatalf("%d octets: %#04x, want %#04x", most, got, want)
			}
			for start := range 33 {
				for n := start; n < 700; n += 1 + start%3 {
					if got, want := Sum(0x1234, data[start:start+n]), slowSum(append([]byte{0x12, 0x34}, data[start:start+n]...)); got != want {
						t.Fatalf("%d octets from %d: %#04x, want %#04x", n, start, got, want)
					}
				}
				n := MaxPacket - start
				if got, want := Sum(0, data[start:start+n]), slowSum(data[start:start+n]); got != want {
					t.Fatalf("%d octets from %d: %#04x, want %#04x", n, start, got, want)
				}
			}
		}
	})
}

// BenchmarkSum alternates short runs of the two ways, of which the fastest counts: what else the machine does can only make one slower. x-plain is the plain way's time over the fast one's.
func BenchmarkSum(b *testing.B) {
	had := fastSum
	defer func() { fastSum = had }()
	const run = 50
	buf := make([]byte, 1500)
	for _, n := range []int{20, 64, 128, 256, 512, 1400} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			best := map[bool]time.Duration{false: math.MaxInt64, true: math.MaxInt64}
			for b.Loop() {
				for _, fast := range []bool{had, false} {
					fastSum = fast
					start := time.Now()
					for range run {
						Sum(0, buf[:n])
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
