package dataplane

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// The SAD (RFC 4301, Section 4.4.2) finds an inbound SA by its SPI alone. The plane chooses the
// SPIs, so the low bits of an SPI are its slot in the table: a look-up is one load and one compare,
// at any number of SAs. The other bits are random, so that an SPI cannot be guessed and is not soon
// used again.
//
//	SPI   rrrrrrrrrrrr cccccccccc ssssssssss    chunks[c].pairs[s], whose whole SPI must match
//
// The table grows by one chunk at a time (linear hashing), so that no SPI waits for long: chunk n
// takes over, from the chunk whose number has one bit less, what has that bit set. Two SPIs with
// different slots keep different slots, so that none has to be moved to another.
const (
	sadSlotBits   = 10
	sadChunkSlots = 1 << sadSlotBits
	sadMaxChunks  = 1 << 10
	sadMaxSlots   = sadMaxChunks * sadChunkSlots
	// Of each sadFullness slots, up to sadFull are taken on average before the table grows. Those
	// of a chunk that is to be split next may be taken twice as densely as others.
	sadFull, sadFullness = 3, 8
	// minSPI: the IANA reserves 1 to 255, and 0 is for local use (RFC 4303, Section 2.1).
	minSPI = 256
)

// errSADFull is the error of AllocSPI when every slot is taken.
var errSADFull = errors.New("dataplane: no free SPI: too many security associations")

// A sad is the table and its bookkeeping. Any worker may call find at any time; the other methods
// take the lock.
type sad struct {
	table   atomic.Pointer[sadTable]
	foreign atomic.Pointer[map[uint32]*pair] // SPIs from outside whose slot was taken; nil: none
	// reserved holds the SPIs that were handed out and not installed yet.
	reserved sync.Map

	mu     sync.Mutex
	random io.Reader
	count  int // of taken slots
}

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

func (t *sadTable) size() int { return t.count * sadChunkSlots }

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

// size returns the number of slots, which grows with that of the SAs. Any goroutine may call it.
func (s *sad) size() int { return s.table.Load().size() }

func newSAD() *sad {
	s := &sad{random: rand.Reader}
	s.table.Store(&sadTable{chunks: []*sadChunk{new(sadChunk)}, count: 1})
	return s
}

// find returns the pair whose inbound SA has the SPI, or nil.
func (s *sad) find(spi uint32) *pair {
	t := s.table.Load()
	if p := t.get(spi); p != nil {
		return p
	}
	return s.findElsewhere(t, spi)
}

// findAll sets found to the pairs whose inbound SAs have the SPIs, or nil.
func (s *sad) findAll(spis []uint32, found []*pair) {
	t := s.table.Load()
	t.getAll(spis, found)
	for i, spi := range spis {
		if found[i] == nil {
			found[i] = s.findElsewhere(t, spi)
		}
	}
}

// findElsewhere looks an SPI up that was not found in a table: it may just have grown, in which
// case the slot that was looked at has been emptied, or the SPI is foreign.
func (s *sad) findElsewhere(t *sadTable, spi uint32) *pair {
	for now := s.table.Load(); now != t; now = s.table.Load() {
		if p := now.get(spi); p != nil {
			return p
		}
		t = now
	}
	if m := s.foreign.Load(); m != nil {
		return (*m)[spi]
	}
	return nil
}

// grow adds a chunk to the table, and returns the new table.
func (s *sad) grow() *sadTable {
	t, from := s.table.Load().grow()
	s.table.Store(t)
	t.moved(from)
	return t
}

// take marks the slot of an SPI as taken by it.
func (s *sad) take(t *sadTable, spi uint32) {
	chunk := t.chunk(spi)
	chunk.taken[spi%sadChunkSlots] = spi
	chunk.count++
	s.count++
}

// release frees the slot of an SPI.
func (s *sad) release(t *sadTable, spi uint32) {
	chunk := t.chunk(spi)
	chunk.pairs[spi%sadChunkSlots].Store(nil)
	chunk.taken[spi%sadChunkSlots] = 0
	chunk.count--
	s.count--
}

func (s *sad) isForeign(spi uint32) bool {
	m := s.foreign.Load()
	if m == nil {
		return false
	}
	_, ok := (*m)[spi]
	return ok
}

// free gives back an SPI that was handed out and never installed, and reports whether it was.
func (s *sad) free(spi uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	chunk, slot := t.chunk(spi), spi%sadChunkSlots
	if spi == 0 || chunk.taken[slot] != spi || chunk.pairs[slot].Load() != nil {
		return false
	}
	s.release(t, spi)
	s.reserved.Delete(spi)
	return true
}

// isReserved reports whether the SPI was handed out and is not installed yet. Any goroutine may
// call it.
func (s *sad) isReserved(spi uint32) bool {
	_, ok := s.reserved.Load(spi)
	return ok
}

// install makes p's inbound SA live. Its SPI is from alloc, or an operator's own (manual keys); the
// latter claims its slot if that is free, and otherwise goes into a map beside the table.
func (s *sad) install(p *pair) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	spi := p.sa.SPIIn
	if spi < minSPI {
		return fmt.Errorf("dataplane: inbound SPI %#x is reserved (RFC 4303, Section 2.1)", spi)
	}
	if s.find(spi) != nil {
		return fmt.Errorf("dataplane: inbound SPI %#x is in use", spi)
	}
	t := s.table.Load()
	chunk, slot := t.chunk(spi), spi%sadChunkSlots
	if chunk.taken[slot] == 0 {
		s.take(t, spi)
	}
	if chunk.taken[slot] == spi {
		chunk.pairs[slot].Store(p)
		s.reserved.Delete(spi) // from now on it is found
		return nil
	}
	s.changeForeign(func(m map[uint32]*pair) { m[spi] = p })
	return nil
}

// remove ends p's inbound SA and frees its SPI.
func (s *sad) remove(p *pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spi := p.sa.SPIIn
	if t := s.table.Load(); t.get(spi) == p {
		s.release(t, spi)
		return
	}
	if m := s.foreign.Load(); m != nil && (*m)[spi] == p {
		s.changeForeign(func(m map[uint32]*pair) { delete(m, spi) })
	}
}

// changeForeign publishes a changed copy of the side map. Only manual keys use it, so it is small.
func (s *sad) changeForeign(change func(map[uint32]*pair)) {
	m := make(map[uint32]*pair)
	if old := s.foreign.Load(); old != nil {
		for spi, p := range *old {
			m[spi] = p
		}
	}
	change(m)
	if len(m) == 0 {
		s.foreign.Store(nil)
		return
	}
	s.foreign.Store(&m)
}

// AllocSPI chooses an inbound SPI: unpredictable, free, never 0 to 255. What comes with SPIs of one
// lane comes to one worker, in order. The SPI is the caller's until FreeSPI, or until RemoveSA of
// the pair it was installed with. Any goroutine may call it.
func (p *Plane) AllocSPI(lane uint32) (uint32, error) {
	workers := len(p.workers)
	spi, err := p.sad.alloc(int(lane%uint32(workers)), workers)
	if err == nil {
		p.cfg.Inlet.Expect(spi)
	}
	return spi, err
}

// FreeSPI gives back an SPI that was never installed; others are not affected. Any goroutine may
// call it.
func (p *Plane) FreeSPI(spi uint32) {
	if p.sad.free(spi) {
		p.cfg.Inlet.Gone(spi)
	}
	p.earliesLost(spi)
}
