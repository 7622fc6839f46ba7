package dataplane

import (
	"slices"
	"sync/atomic"
)

// A sadTable is the chunks at one time, by their numbers. A number whose chunk was not split off
// yet has the chunk that it is to be split from.
type sadTable struct {
	mask   uint32 // of the numbers: one less than how many there are
	chunks []*sadChunk
	count  int // of different chunks: those whose numbers are below
}

type sadChunk struct {
	pairs [sadChunkSlots]atomic.Pointer[pair] // installed
	taken [sadChunkSlots]uint32               // the SPIs handed out or claimed, 0: free; under the lock
	count int                                 // of taken slots; under the lock
}

func (t *sadTable) chunk(spi uint32) *sadChunk { return t.chunks[spi>>sadSlotBits&t.mask] }
func (t *sadTable) size() int                  { return t.count * sadChunkSlots }

// get returns the pair of an SPI, or nil if its slot has none or that of another.
func (t *sadTable) get(spi uint32) *pair {
	if p := t.chunk(spi).pairs[spi%sadChunkSlots].Load(); p != nil && p.sa.SPIIn == spi {
		return p
	}
	return nil
}

// getAll sets found to the pairs of SPIs, as get returns them. The loads of one SPI do not wait for
// those of another, as they do when each packet is carried before the next is looked up: with many
// peers they come from memory.
func (t *sadTable) getAll(spis []uint32, found []*pair) {
	for i, spi := range spis {
		found[i] = t.chunk(spi).pairs[spi%sadChunkSlots].Load()
	}
	for i, spi := range spis {
		if p := found[i]; p != nil && p.sa.SPIIn != spi {
			found[i] = nil
		}
	}
}

// nearestFree returns spi with its slot moved on to the first free one that gives it the rest. The
// lock is held, as by the callers of the methods below.
func (t *sadTable) nearestFree(spi uint32, rest, workers int) (uint32, bool) {
	looks := len(t.chunks)
	if rest != anyRest {
		looks = min(looks, sadLooks)
	}
	for range looks {
		chunk := t.chunk(spi)
		for range sadChunkSlots {
			if chunk.count == sadChunkSlots {
				break
			}
			if chunk.taken[spi%sadChunkSlots] == 0 && (rest == anyRest || int(spi%uint32(workers)) == rest) {
				return spi, true
			}
			spi = spi&^(sadChunkSlots-1) | (spi+1)%sadChunkSlots
		}
		number := t.mask << sadSlotBits
		spi = spi&^number | (spi+sadChunkSlots)&number
	}
	return 0, false
}

// grow returns a table with one more chunk, and the chunk that it was split from. What moves is in
// both until moved is called.
func (t *sadTable) grow() (next *sadTable, from *sadChunk) {
	next = &sadTable{mask: t.mask, count: t.count + 1, chunks: slices.Clone(t.chunks)}
	if t.count == len(t.chunks) {
		next.chunks, next.mask = slices.Repeat(t.chunks, 2), 2*t.mask+1
	}
	from = next.chunks[t.count]
	to := new(sadChunk)
	next.chunks[t.count] = to
	for i, spi := range from.taken {
		if spi != 0 && next.chunk(spi) == to {
			to.taken[i] = spi
			to.pairs[i].Store(from.pairs[i].Load())
			to.count++
		}
	}
	return next, from
}

// moved empties the slots of a chunk that are in the newest one now. Look-ups that have the old
// table and come too late look again.
func (t *sadTable) moved(from *sadChunk) {
	for i, spi := range from.taken {
		if spi != 0 && t.chunk(spi) != from {
			from.pairs[i].Store(nil)
			from.taken[i] = 0
			from.count--
		}
	}
}
