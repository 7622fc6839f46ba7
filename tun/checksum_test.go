package tun

import (
	"fmt"
	"math/rand/v2"
	"testing"
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
		buf, ones := make([]byte, MaxPacket+64), make([]byte, MaxPacket+64)
		r := rand.NewChaCha8([32]byte{7})
		_, _ = r.Read(buf)
		for i := range ones {
			ones[i] = 0xff
		}
		for _, data := range [][]byte{buf, ones} {
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

func BenchmarkSum(b *testing.B) {
	had := fastSum
	defer func() { fastSum = had }()
	buf := make([]byte, 1500)
	for _, n := range []int{20, 64, 128, 512, 1400} {
		for _, fast := range []bool{had, false} {
			fastSum = fast
			b.Run(fmt.Sprintf("%d/fast=%t", n, fast), func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					Sum(0, buf[:n])
				}
			})
		}
	}
}
