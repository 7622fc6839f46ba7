package esp

import "sync/atomic"

// The bounds of a replay window, in packets.
const (
	MinWindow = 32 // RFC 4303, Section 3.4.3: "A minimum window size of 32 packets MUST be supported"
	MaxWindow = 65536
)

// window is a replay window of a fixed size: it accepts no sequence number twice, and none that is size or more behind the highest accepted.
//
// It is the ring of blocks of RFC 6479, where sliding the window is no more than using a block anew. Each word of the ring is
//
//	block number (low 32 bits) | 32 bits, one for each sequence number of the block
//
// so that a bit, the block that it belongs to, and the clearing of a stale block are one compare-and-swap. Workers that open packets of one SA at the
// same time therefore need no lock: a word only ever goes to a newer block or gets more bits, so what was accepted once stays refused, also by a worker that was
// held up for long. What they pay is the cache line of the word and of top moving between their cores, once a packet each, when they are at neighbouring sequence numbers.
type window struct {
	size uint64
	ring []atomic.Uint64
	_    [cacheLine]byte
	top  atomic.Uint64 // the highest sequence number accepted
	_    [cacheLine]byte
}

const (
	blockBits  = 32
	blockShift = 5
	blockMask  = blockBits - 1
)

// init sets the size, 0 for no window. The ring has one block more than the size, as the window's ends lie within blocks.
func (w *window) init(size int) {
	w.size = uint64(size)
	if size != 0 {
		w.ring = make([]atomic.Uint64, (size+blockMask)/blockBits+1)
	}
}

// slot is the word that seq's block uses, and the value of that word when seq's bit alone is set.
func (w *window) slot(seq uint64) (word *atomic.Uint64, value uint64) {
	block := seq >> blockShift
	var i uint64
	if n := uint64(len(w.ring)); block>>32 == 0 {
		i = uint64(uint32(block) % uint32(n)) // a 64-bit division takes up to three times as long
	} else {
		i = block % n
	}
	return &w.ring[i], block<<32 | 1<<(seq&blockMask)
}

// seen says whether word, as it is or was, refuses the sequence number of value: its bit is set, or its block is a newer one. A word without bits was never
// used. Block numbers are compared as in serial number arithmetic, which is right up to 2^36 packets apart; a word left behind further than that would refuse too much, never too little.
func seen(word, value uint64) bool {
	age := int32(uint32(word>>32) - uint32(value>>32))
	return age == 0 && uint32(word&value) != 0 || age > 0 && uint32(word) != 0
}

// stale says whether seq is below the window that ends with top.
func (w *window) stale(seq, top uint64) bool { return seq < top && top-seq >= w.size }

// place is where a sequence number's bit is: found by check, used by accept.
type place struct {
	seq   uint64
	word  *atomic.Uint64 // nil without a window
	value uint64         // of word, if seq's bit alone were set
}

// check says whether seq may be accepted, as far as can be told before the packet is authentic. It changes nothing.
func (w *window) check(seq uint64) (p place, ok bool) {
	p.seq = seq
	if w.size == 0 {
		return p, true
	}
	// RFC 4303, Section 3.3.3: the first packet has number 1, so that 0 is never sent.
	if seq == 0 || w.stale(seq, w.top.Load()) {
		return p, false
	}
	p.word, p.value = w.slot(seq)
	return p, !seen(p.word.Load(), p.value)
}

// accept takes the checked sequence number of an authentic packet, and says whether it was the first to do so, and whether it is the highest so far.
func (w *window) accept(p place) (first, highest bool) {
	top := w.top.Load()
	if p.word != nil && (w.stale(p.seq, top) || !p.mark()) {
		return false, false
	}
	for p.seq > top {
		if w.top.CompareAndSwap(top, p.seq) {
			return true, true
		}
		top = w.top.Load()
	}
	return true, false
}

// mark sets the bit, and says whether it was this call that did.
func (p *place) mark() bool {
	for {
		old := p.word.Load()
		if seen(old, p.value) {
			return false
		}
		now := p.value
		if old>>32 == p.value>>32 {
			now |= old
		}
		if p.word.CompareAndSwap(old, now) {
			return true
		}
	}
}

// unseenWindow is the window that sequence finds high halves with when there is none to check: half the number space, so that
// the number nearest to the highest is taken.
const unseenWindow = 1 << 31

// sequence completes the low half of an extended sequence number with the high half that was not sent (RFC 4303, Appendix A2.2), given
// what was accepted so far.
func (w *window) sequence(low uint32) uint64 {
	top, size := w.top.Load(), uint32(w.size)
	if size == 0 {
		size = unseenWindow
	}
	topLow, high := uint32(top), top>>32
	bottom := topLow - size + 1 // modulo 2^32
	switch {
	case topLow >= size-1 && low < bottom: // case A, and a number of the next subspace
		high++
	case topLow < size-1 && low >= bottom && high > 0: // case B, and one of the last; there is none before the first
		high--
	}
	return high<<32 | uint64(low)
}
