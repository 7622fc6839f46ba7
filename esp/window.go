package esp

import (
	"math"
	"sync/atomic"
)

// The bounds of a replay window, in packets.
const (
	MinWindow = 32 // RFC 4303, Section 3.4.3: "A minimum window size of 32 packets MUST be supported"
	MaxWindow = 65536
)

// A window is a replay window. It accepts no sequence number twice, accepts every fresh one that is
// less than size behind the highest accepted, and none that is a little further behind (up to two
// blocks), so that the ends of the window are the ends of blocks.
//
// It is the ring of blocks of RFC 6479, where the window slides by reusing a block. Each word of
// the ring is
//
//	block number (low 32 bits) | 32 bits, one for each sequence number of the block
//
// One compare-and-swap thus sets a bit, checks its block and clears a stale block. Workers that
// open packets of one SA at the same time need no lock: a word only ever goes to a newer block or
// gains bits, so an accepted number stays refused, even for a worker that was held up for long. The
// cost, at neighbouring sequence numbers, is that the cache line of the word moves between their
// cores.
type window struct {
	ring []atomic.Uint64 // nil: no window
	_    [cacheLine]byte
	// top is the highest block with an accepted number. Its neighbours in memory may be written as
	// often.
	top atomic.Uint64
	// topWord is the word of that block; or of an earlier one, or nil, until top moves again.
	topWord atomic.Pointer[atomic.Uint64]
}

const (
	blockBits  = 32
	blockShift = 5
	blockMask  = blockBits - 1
)

// init sets the size; 0 is for no window. The ring has one block more than the size needs: wherever
// the highest number is in its block, the other blocks hold size numbers behind it.
func (w *window) init(size int) {
	if size != 0 {
		w.ring = make([]atomic.Uint64, (size+blockMask)/blockBits+1)
	}
}

// taken returns the sequence numbers of block that word refuses, now or when it was read: those
// whose bit is set, or all if its block is newer. A word without bits is unused. Block numbers are
// compared by serial number arithmetic, which is right up to 2^36 packets apart; a word further
// behind refuses too much, never too little.
func taken(word, block uint64) uint32 {
	age, bits := int32(uint32(word>>32)-uint32(block)), uint32(word)
	switch {
	case age == 0:
		return bits
	case age > 0 && bits != 0:
		return math.MaxUint32
	}
	return 0
}

// check reports whether seq may be accepted, as far as can be told before the packet is authentic.
// It changes nothing. Of a block newer than all accepted ones no number was accepted, except those
// being accepted at this moment.
func (w *window) check(seq uint64) bool { return seq>>blockShift > w.top.Load() || w.checkWithin(seq) }

// checkWithin is check for a number whose block is not newer than all.
func (w *window) checkWithin(seq uint64) bool {
	n := uint64(len(w.ring))
	if n == 0 {
		return true
	}
	// RFC 4303, Section 3.3.3: the first packet has number 1, so 0 is never sent.
	block := seq >> blockShift
	if seq == 0 || block+n <= w.top.Load() {
		return false
	}
	return taken(w.word(block).Load(), block)>>(seq&blockMask)&1 == 0
}

// word returns the word of block in the ring, which must not be empty.
func (w *window) word(block uint64) *atomic.Uint64 {
	n := uint64(len(w.ring))
	if block>>32 == 0 {
		return &w.ring[uint32(block)%uint32(n)] // a 64-bit division takes up to three times as long
	}
	return &w.ring[block%n]
}

// accept takes checked sequence numbers of authentic packets of one block, each a bit of bits. It
// returns those that nobody had taken before, and whether one of them is the highest so far. It
// does not check the end of the window again: a number that has fallen behind it since check is
// either refused by its word, or was never accepted.
func (w *window) accept(block uint64, bits uint32) (fresh uint32, highest bool) {
	fresh = bits
	if len(w.ring) != 0 { // without, only the first of a new block is known to be the highest
		fresh, highest = mark(w.word(block), block, bits)
		if fresh == 0 {
			return 0, false
		}
	}
	top := w.top.Load()
	for block > top {
		if w.top.CompareAndSwap(top, block) {
			if len(w.ring) != 0 {
				w.topWord.Store(w.word(block))
			}
			return fresh, true
		}
		top = w.top.Load()
	}
	return fresh, highest && block == top
}

// acceptOne is accept for the number of a packet that came alone. Most often its block has the word
// already, and is not newer than the highest: then the bit is all that changes.
func (w *window) acceptOne(seq uint64) (fresh, highest bool) {
	block, bit := seq>>blockShift, uint64(1)<<(seq&blockMask)
	if len(w.ring) != 0 && block <= w.top.Load() {
		word := w.word(block)
		old := word.Load()
		if uint32(old>>32) == uint32(block) && old&bit == 0 && word.CompareAndSwap(old, old|bit) {
			return true, uint32(old) < uint32(bit) && block == w.top.Load()
		}
	}
	set, highest := w.accept(block, uint32(bit))
	return set != 0, highest
}

// mark sets bits of the block in word. It returns those that were not set, and whether one of them
// is the highest of the block.
func mark(word *atomic.Uint64, block uint64, bits uint32) (fresh uint32, highest bool) {
	for {
		old := word.Load()
		before := taken(old, block)
		fresh = bits &^ before
		if fresh == 0 || word.CompareAndSwap(old, block<<32|uint64(before|bits)) {
			return fresh, fresh > before
		}
	}
}

// unseenWindow is the size in blocks for sequence without a window: half the number space, so that
// the number nearest to the highest is taken.
const unseenWindow = 1 << (31 - blockShift)

// sequence completes the low half of an extended sequence number with the high half, which is not
// sent. The cases of RFC 4303, Appendix A2.2 reduce to this: of the numbers with that low half, it
// is the first that is not below the window.
func (w *window) sequence(low uint32) uint64 {
	blocks := uint64(len(w.ring))
	if blocks == 0 {
		blocks = unseenWindow
	}
	var bottom uint64
	if top := w.top.Load(); top >= blocks {
		bottom = (top - blocks + 1) << blockShift
	}
	seq := bottom&^math.MaxUint32 | uint64(low)
	if seq < bottom {
		seq += 1 << 32
	}
	return seq
}
