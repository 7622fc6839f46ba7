package dataplane

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"culvert/dataplane/netio"
)

// sadDraws bounds the search for an SPI: the number of random ones tried. Only a nearly full table
// of the largest size needs more than a few slots.
const sadDraws = 64

// alloc returns an SPI whose slot is free and whose packets come to a worker.
func (s *sad) alloc(worker, workers int) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if s.count*sadFullness >= t.size()*sadFull && t.count < sadMaxChunks {
		t = s.grow()
	}
	if s.count >= t.size() {
		return 0, errSADFull
	}
	for range sadDraws {
		var b [4]byte
		if _, err := io.ReadFull(s.random, b[:]); err != nil {
			return 0, fmt.Errorf("dataplane: choosing an SPI: %w", err)
		}
		spi, ok := t.nearestFree(netio.SPIFor(binary.BigEndian.Uint32(b[:]), worker, workers))
		if !ok || spi < minSPI || s.isForeign(spi) {
			continue
		}
		s.take(t, spi)
		s.reserved.Store(spi, nil)
		return spi, nil
	}
	return 0, errSADFull
}

// nearestFree returns spi with its slot moved on to the first free one. The lock is held, as by the
// callers of the methods below.
func (t *sadTable) nearestFree(spi uint32) (uint32, bool) {
	for range t.chunks {
		chunk := t.chunk(spi)
		for range sadChunkSlots {
			if chunk.count == sadChunkSlots {
				break
			}
			if chunk.taken[spi%sadChunkSlots] == 0 {
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
