package dataplane

import (
	"crypto/rand"
	"encoding/binary"
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
//	SPI   rrrrrrrrrrrrrrrrrrrr ssssssssssss    table.slots[s] -> pair, whose whole SPI must match
//
// When the table doubles, one more of the random bits becomes part of the slot. Two SPIs with
// different slots keep different slots, so that none has to be moved to another.
const (
	sadMinSlots = 1 << 8
	sadMaxSlots = 1 << 20
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
	taken  []uint32 // by slot: the SPI handed out or claimed, 0 if free
	count  int      // of taken slots
}

type sadTable struct {
	mask  uint32
	slots []atomic.Pointer[pair]
}

func newSAD() *sad {
	s := &sad{random: rand.Reader, taken: make([]uint32, sadMinSlots)}
	s.table.Store(newSADTable(sadMinSlots))
	return s
}

func newSADTable(slots int) *sadTable {
	return &sadTable{mask: uint32(slots - 1), slots: make([]atomic.Pointer[pair], slots)}
}

// find returns the pair whose inbound SA has the SPI, or nil.
func (s *sad) find(spi uint32) *pair {
	t := s.table.Load()
	if p := t.slots[spi&t.mask].Load(); p != nil && p.sa.SPIIn == spi {
		return p
	}
	if m := s.foreign.Load(); m != nil {
		return (*m)[spi]
	}
	return nil
}

// Bounds of the search for an SPI that names a worker: the number of random ones tried, and the
// number of slots examined from each on. Only a nearly full table of the largest size needs more
// than a few.
const (
	sadDraws = 64
	sadLooks = 1 << 12
	anyRest  = -1 // of an SPI modulo the number of workers
)

// alloc returns an SPI whose slot is free and whose value is rest modulo the number of workers,
// unless rest is anyRest.
func (s *sad) alloc(rest, workers int) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count*2 >= len(s.taken) && len(s.taken) < sadMaxSlots {
		s.grow()
	}
	if s.count >= len(s.taken) {
		return 0, errSADFull
	}
	for range sadDraws {
		var b [4]byte
		if _, err := io.ReadFull(s.random, b[:]); err != nil {
			return 0, fmt.Errorf("dataplane: choosing an SPI: %w", err)
		}
		spi, ok := s.nearestFree(binary.BigEndian.Uint32(b[:]), rest, workers)
		if !ok || spi < minSPI || s.isForeign(spi) {
			continue
		}
		s.taken[spi&s.mask()] = spi
		s.count++
		s.reserved.Store(spi, nil)
		return spi, nil
	}
	return 0, errSADFull
}

// nearestFree returns spi with its slot moved on to the first free one that gives it the rest.
func (s *sad) nearestFree(spi uint32, rest, workers int) (uint32, bool) {
	mask := s.mask()
	looks := len(s.taken) // one of them is free
	if rest != anyRest {
		looks = min(looks, sadLooks)
	}
	for range looks {
		if s.taken[spi&mask] == 0 && (rest == anyRest || int(spi%uint32(workers)) == rest) {
			return spi, true
		}
		spi = spi&^mask | (spi+1)&mask
	}
	return 0, false
}

func (s *sad) mask() uint32 { return uint32(len(s.taken) - 1) }

func (s *sad) isForeign(spi uint32) bool {
	m := s.foreign.Load()
	if m == nil {
		return false
	}
	_, ok := (*m)[spi]
	return ok
}

// grow doubles the table. Look-ups use the old one until the new one is complete.
func (s *sad) grow() {
	old := s.table.Load()
	taken := make([]uint32, 2*len(s.taken))
	table := newSADTable(len(taken))
	for slot, spi := range s.taken {
		if spi == 0 {
			continue
		}
		taken[spi&table.mask] = spi
		table.slots[spi&table.mask].Store(old.slots[slot].Load())
	}
	s.taken = taken
	s.table.Store(table)
}

// free gives back an SPI that was handed out and never installed, and reports whether it was.
func (s *sad) free(spi uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := spi & s.mask()
	if spi == 0 || s.taken[slot] != spi || s.table.Load().slots[slot].Load() != nil {
		return false
	}
	s.taken[slot] = 0
	s.count--
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
	slot := spi & s.mask()
	if s.taken[slot] == 0 {
		s.taken[slot] = spi
		s.count++
	}
	if s.taken[slot] == spi {
		s.table.Load().slots[slot].Store(p)
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
	slot := spi & s.mask()
	if s.table.Load().slots[slot].Load() == p {
		s.table.Load().slots[slot].Store(nil)
		s.taken[slot] = 0
		s.count--
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

// AllocSPI chooses an inbound SPI: unpredictable, free, never 0 to 255. A resource is a worker
// counted from 1: over UDP the SPI then leads its packets to that worker; 0: to any. The SPI is the
// caller's until FreeSPI, or until RemoveSA of the pair it was installed with. Any goroutine may
// call it.
func (p *Plane) AllocSPI(resource int) (uint32, error) {
	rest, workers := anyRest, 1
	if resource > 0 && resource <= len(p.workers) {
		rest, workers = resource-1, len(p.workers)
	}
	spi, err := p.sad.alloc(rest, workers)
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
