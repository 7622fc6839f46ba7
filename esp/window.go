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

// window is a replay window: it accepts no sequence number twice, every fresh one that is less than size behind the highest accepted, and
// none that is a little further behind (up to two blocks), so that the ends of the window are the ends of blocks.
//
// It is the ring of blocks of RFC 6479, where sliding the window is no more than using a block anew. Each word of the ring is
//
//	block number (low 32 bits) | 32 bits, one for each sequence number of the block
//
// so that a bit, the block that it belongs to, and the clearing of a stale block are one compare-and-swap. Workers that open packets of one SA at the
// same time therefore need no lock: a word only ever goes to a newer block or gets more bits, so what was accepted once stays refused, also by a worker that was
// held up for long. What they pay, when they are at neighbouring sequence numbers, is the word's cache line moving between their cores.
type window struct {
	ring []atomic.Uint64 // nil: no window
	_    [cacheLine]byte
	top  atomic.Uint64 // the highest block of which a number was accepted
	_    [cacheLine]byte
}

const (
	blockBits  = 32
	blockShift = 5
	blockMask  = blockBits - 1
)

// init sets the size, 0 for no window. The ring has one block more than the size takes: wherever in the highest block the highest number is, the
// others alone hold size numbers behind it.
func (w *window) init(size int) {
	if size != 0 {
		w.ring = make([]atomic.Uint64, (size+blockMask)/blockBits+1)
	}
}

// seen says whether word, as it is or was, refuses the sequence number of value: its bit is set, or its block is a newer one. A word without bits was never
// used. Block numbers are compared as in serial number arithmetic, which is right up to 2^36 packets apart; a word left behind further than that would refuse too much, never too little.
func seen(word, value uint64) bool {
	age := int32(uint32(word>>32) - uint32(value>>32))
	return age == 0 && uint32(word&value) != 0 || age > 0 && uint32(word) != 0
}

// place is where a sequence number's bit is: found by check, used by accept.
type place struct {
	block uint64
	word  *atomic.Uint64 // nil without a window
	value uint64         // of word, if the number's bit alone were set
}

// check says whether seq may be accepted, as far as can be told before the packet is authentic. It changes nothing.
func (w *window) check(seq uint64) (p place, ok bool) {
	p.block = seq >> blockShift
	p.value = p.block<<32 | 1<<(seq&blockMask)
	n := uint64(len(w.ring))
	if n == 0 {
		return p, true
	}
	// RFC 4303, Section 3.3.3: the first packet has number 1, so that 0 is never sent.
	if seq == 0 || p.block+n <= w.top.Load() {
		return p, false
	}
	if p.block>>32 == 0 {
		p.word = &w.ring[uint32(p.block)%uint32(n)] // a 64-bit division takes up to three times as long
	} else {
		p.word = &w.ring[p.block%n]
	}
	return p, !seen(p.word.Load(), p.value)
}

// accept takes the checked sequence number of an authentic packet, and says whether it was the first to do so, and whether it is the highest so far. There
// is no second look at the window's end: a number that has fallen behind it since check is either refused by its word, or was never accepted.
func (w *window) accept(p place) (first, highest bool) {
	top := w.top.Load()
	if p.word != nil { // without, only the first of a new block is known to be
		before, ok := p.mark()
		if !ok {
			return false, false
		}
		highest = before>>32 != p.value>>32 || uint32(before) < uint32(p.value)
	}
	for p.block > top {
		if w.top.CompareAndSwap(top, p.block) {
			return true, true
		}
		top = w.top.Load()
	}
	return true, highest && p.block == top
}

// mark sets the bit, and says whether it was this call that did, and what the word was before.
func (p *place) mark() (before uint64, ok bool) {
	for {
		old := p.word.Load()
		if seen(old, p.value) {
			return 0, false
		}
		now := p.value
		if old>>32 == p.value>>32 {
			now |= old
		}
		if p.word.CompareAndSwap(old, now) {
			return old, true
		}
	}
}

// unseenWindow is the blocks of the window that sequence finds high halves with when there is none to check: half the number space, so
// that the number nearest to the highest is taken.
const unseenWindow = 1 << (31 - blockShift)

// sequence completes the low half of an extended sequence number with the high half that was not sent. The cases of RFC 4303, Appendix A2.2 come
// to this: of the numbers with that low half, it is the first that is not below the window.
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
