package netio

import (
	"math/rand/v2"
	"testing"
)

// TestSPIFor: an SPI of each worker is found, with the bits by which the SAD looks it up as they
// were.
func TestSPIFor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, workers := range []int{1, 2, 3, 7, 64, 100, 1000, steerSpace} {
		for i := range 4096 {
			spi, worker := r.Uint32(), i%workers
			switch i {
			case 0:
				spi = 0
			case 1:
				spi = 1<<32 - 1
			}
			got := SPIFor(spi, worker, workers)
			if WorkerOf(got, workers) != worker || got<<12 != spi<<12 {
				t.Fatalf("of %d workers, %#x for worker %d: %#x, of worker %d", workers, spi, worker, got, WorkerOf(got, workers))
			}
			if WorkerOf(spi, workers) == worker && got != spi {
				t.Fatalf("of %d workers, %#x is of worker %d and became %#x", workers, spi, worker, got)
			}
		}
	}
}
