package esp

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// oracle is a window that remembers everything. Its ends are those of blocks, as RFC 6479 has them.
type oracle struct {
	size, top uint64
	accepted  map[uint64]bool
}

// inside reports whether seq must be accepted if it is fresh, beyond whether it must be refused.
func (o *oracle) inside(seq uint64) bool { return seq != 0 && (seq >= o.top || o.top-seq < o.size) }
func (o *oracle) beyond(seq uint64) bool {
	return seq == 0 || seq < o.top && o.top-seq >= o.size+2*blockBits
}

// judge fails the test if the window, which said got, may not have.
func (o *oracle) judge(t *testing.T, seq uint64, got bool) {
	t.Helper()
	switch {
	case got && o.accepted[seq]:
		t.Fatalf("size %d, top %d: number %d accepted twice", o.size, o.top, seq)
	case got && o.beyond(seq):
		t.Fatalf("size %d, top %d: number %d accepted from behind the window", o.size, o.top, seq)
	case !got && o.inside(seq) && !o.accepted[seq]:
		t.Fatalf("size %d, top %d: number %d refused", o.size, o.top, seq)
	}
	if got {
		o.accepted[seq] = true
		o.top = max(o.top, seq)
	}
}

func newWindow(size int, top uint64) *window {
	w := new(window)
	w.init(size)
	w.top.Store(top >> blockShift)
	return w
}

// tryNumber is a packet with a good ICV.
func tryNumber(w *window, seq uint64) bool {
	if !w.check(seq) {
		return false
	}
	first, _ := acceptNumber(w, seq)
	return first
}

// acceptNumber accepts an odd number as that of a packet that came alone, an even one as a run's.
func acceptNumber(w *window, seq uint64) (first, highest bool) {
	if seq%2 != 0 {
		return w.acceptOne(seq)
	}
	fresh, highest := w.accept(seq>>blockShift, 1<<(seq&blockMask))
	return fresh != 0, highest
}

// TestWindowAgainstOracle also crosses the two limits of numbers: of their low half, and of the
// block numbers in the words of the ring (2^37 packets).
func TestWindowAgainstOracle(t *testing.T) {
	for _, size := range []int{32, 33, 63, 64, 100, 128, 1000, 4096, 65536} {
		for _, start := range []uint64{0, 1<<32 - 500, 1<<37 - 500} {
			for seed := range uint64(4) {
				compareWithOracle(t, rand.New(rand.NewPCG(seed, uint64(size))), size, start)
			}
		}
	}
}

func compareWithOracle(t *testing.T, r *rand.Rand, size int, start uint64) {
	t.Helper()
	w, o := newWindow(size, start), &oracle{size: uint64(size), top: start, accepted: map[uint64]bool{}}
	if start != 0 {
		o.judge(t, start, tryNumber(w, start))
	}
	for range 3000 {
		seq, top := nextNumber(r, o.top, uint64(size)), o.top
		if start != 0 && o.inside(seq) && w.sequence(uint32(seq)) != seq {
			t.Fatalf("size %d, top %#x: %#x is completed as %#x", size, top, seq, w.sequence(uint32(seq)))
		}
		checked, got, highest := w.check(seq), false, false
		if seq != 0 && seq>>blockShift+uint64(len(w.ring)) > w.top.Load() {
			got, highest = acceptNumber(w, seq) // even if check refused; of the window's end only check knows
		}
		o.judge(t, seq, got)
		if checked != got || highest != (got && seq > top) {
			t.Fatalf("size %d, top %d: number %d checked %v, accepted %v, highest %v", size, top, seq, checked, got, highest)
		}
	}
}

// nextNumber is near the ends of the window, anywhere in it, or some way ahead.
func nextNumber(r *rand.Rand, top, size uint64) uint64 {
	switch r.IntN(8) {
	case 0:
		return top + r.Uint64N(3*size)
	case 1:
		return top + 1 + r.Uint64N(3)
	case 2, 3:
		return top + 1
	case 4:
		return sub(top, size+2*blockBits) + r.Uint64N(2*blockBits+4)
	case 5:
		return sub(top, 2*size) + r.Uint64N(2*size)
	}
	return sub(top, r.Uint64N(size+2))
}

func sub(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

// TestAcceptBeforeTheTopMoves: another goroutine has set a bit of a new block, and has not moved
// the top yet. A number of that block is the highest, and moves it.
func TestAcceptBeforeTheTopMoves(t *testing.T) {
	w := newWindow(64, 0)
	const block = 10
	mark(w.word(block), block, 1)
	if fresh, highest := w.acceptOne(block<<blockShift | 3); !fresh || !highest || w.top.Load() != block {
		t.Errorf("accepted %v, the highest %v, the top at block %d", fresh, highest, w.top.Load())
	}
}

func TestWindowOff(t *testing.T) {
	w := newWindow(0, 0)
	for _, seq := range []uint64{0, 1, 1, 5, 1 << 40, 2} {
		if !tryNumber(w, seq) {
			t.Errorf("number %d refused without a window", seq)
		}
	}
}

// Goroutines that race through the same numbers, some of them far behind, accept each once at most.
func TestWindowConcurrently(t *testing.T) {
	for _, size := range []int{32, 64, 512} {
		w := newWindow(size, 0)
		const workers, numbers = 4, 20000
		accepted := make([][]uint64, workers)
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 5))
				for k := uint64(1); k <= numbers; k++ {
					seq := sub(k, r.Uint64N(uint64(size)))
					if r.IntN(100) == 0 {
						seq = r.Uint64N(numbers) // far off
					}
					if tryNumber(w, seq) {
						accepted[i] = append(accepted[i], seq)
					}
				}
			})
		}
		wg.Wait()
		seen := map[uint64]bool{}
		for _, list := range accepted {
			for _, seq := range list {
				if seen[seq] {
					t.Fatalf("size %d: number %d accepted twice", size, seq)
				}
				seen[seq] = true
			}
		}
		if len(seen) == 0 || seen[0] {
			t.Errorf("size %d: %d numbers accepted, 0 among them: %v", size, len(seen), seen[0])
		}
	}
}

// slowSequence is RFC 4303, Appendix A2.2 as it is written.
func slowSequence(top uint64, size, low uint32) uint64 {
	topLow, high := uint32(top), top>>32
	switch bottom := topLow - size + 1; {
	case topLow >= size-1 && low < bottom: // case A
		high++
	case topLow < size-1 && low >= bottom && high > 0: // case B; before the first subspace there is none
		high--
	}
	return high<<32 | uint64(low)
}

func TestSequence(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tops := []uint64{0, 1, 31, 62, 63, 64, 1<<32 - 64, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<32 + 62, 1<<32 + 63, 1<<32 + 64, 1 << 40, 1<<63 + 5}
	for range 2000 {
		tops = append(tops, r.Uint64N(1<<r.UintN(63)+1))
	}
	for _, top := range tops {
		for _, size := range []int{32, 64, 4096, 65536} {
			w, top := newWindow(size, top), top|blockMask
			size := uint32(len(w.ring) * blockBits)
			lows := []uint32{0, 1, uint32(top), uint32(top) + 1, uint32(top) - 1, uint32(top) - size, uint32(top) - size + 1, 1<<32 - 1, r.Uint32()}
			for _, low := range lows {
				if got, want := w.sequence(low), slowSequence(top, size, low); got != want {
					t.Fatalf("top %#x, window %d, low %#x: got %#x, want %#x", top, size, low, got, want)
				}
			}
		}
	}
}

func FuzzWindow(f *testing.F) {
	f.Add(uint64(1), 64)
	f.Fuzz(func(t *testing.T, seed uint64, size int) {
		size = MinWindow + int(uint(size)%4096)
		r := rand.New(rand.NewPCG(seed, 1))
		w, o := newWindow(size, 0), &oracle{size: uint64(size), accepted: map[uint64]bool{}}
		for range 300 {
			seq := nextNumber(r, o.top, uint64(size))
			o.judge(t, seq, tryNumber(w, seq))
		}
	})
}
