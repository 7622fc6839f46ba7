package dataplane

import (
	"bytes"
	"testing"

	"culvert/esp"
)

func testPair(spi uint32) *pair { return &pair{sa: esp.ChildSA{SPIIn: spi}} }

func TestSPIsAreNeverReserved(t *testing.T) {
	s := newSAD()
	// The first choice is 5, whose slot is free: reserved by RFC 4303, Section 2.1, so another must be drawn.
	s.random = bytes.NewReader([]byte{0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 5})
	spi, err := s.alloc()
	if err != nil || spi != 0x105 {
		t.Fatalf("alloc = %#x, %v, want 0x105", spi, err)
	}
}

func TestSADGrowsAndKeepsWhatItHas(t *testing.T) {
	s := newSAD()
	pairs := make(map[uint32]*pair)
	for range 5 * sadMinSlots {
		spi, err := s.alloc()
		if err != nil {
			t.Fatal(err)
		}
		if pairs[spi] != nil {
			t.Fatalf("SPI %#x was handed out twice", spi)
		}
		p := testPair(spi)
		pairs[spi] = p
		if err := s.install(p); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(s.table.Load().slots); got < 5*sadMinSlots {
		t.Errorf("table has %d slots for %d SAs", got, 5*sadMinSlots)
	}
	if s.foreign.Load() != nil {
		t.Error("an SPI that was handed out has no slot")
	}
	for spi, p := range pairs {
		if s.find(spi) != p {
			t.Fatalf("find(%#x) is another's", spi)
		}
		if s.find(spi^1<<31) != nil {
			t.Fatalf("find(%#x) found the SA of %#x", spi^1<<31, spi)
		}
	}
	for spi, p := range pairs {
		s.remove(p)
		if s.find(spi) != nil {
			t.Fatalf("%#x is there after remove", spi)
		}
	}
	if s.count != 0 {
		t.Errorf("%d slots are taken at the end", s.count)
	}
}

func TestSADSlotIsReused(t *testing.T) {
	s := newSAD()
	s.random = bytes.NewReader([]byte{0xaa, 0, 0, 7, 0xbb, 0, 0, 7, 0xcc, 0, 0, 7})
	first, _ := s.alloc()
	old := testPair(first)
	if err := s.install(old); err != nil {
		t.Fatal(err)
	}
	second, _ := s.alloc()
	if second != 0xbb000008 {
		t.Errorf("alloc in a taken slot = %#x, want the next slot", second)
	}
	s.remove(old)
	third, _ := s.alloc()
	if third != 0xcc000007 {
		t.Errorf("alloc after remove = %#x, want slot 7 again", third)
	}
	if err := s.install(testPair(third)); err != nil {
		t.Fatal(err)
	}
	if s.find(first) != nil {
		t.Error("the old SPI finds the new SA of its slot")
	}
	s.remove(old) // late: it must not take the new one with it
	if s.find(third) == nil {
		t.Error("removing the old SA again removed the new one")
	}
}

func TestSADFree(t *testing.T) {
	s := newSAD()
	spi, _ := s.alloc()
	s.free(spi ^ 1<<31) // not one that was handed out
	if s.count != 1 {
		t.Error("freed an SPI that nobody has")
	}
	s.free(spi)
	s.free(spi)
	if s.count != 0 {
		t.Errorf("count after free = %d", s.count)
	}
	spi, _ = s.alloc()
	p := testPair(spi)
	_ = s.install(p)
	s.free(spi)
	if s.find(spi) != p || s.count != 1 {
		t.Error("FreeSPI took an installed SA away")
	}
}

func TestSADTakesForeignSPIs(t *testing.T) {
	s := newSAD()
	own, _ := s.alloc()
	claimed := own ^ 1 | 1<<30 // a free slot
	beside := own ^ 1<<31      // a taken one
	pairs := []*pair{testPair(own), testPair(claimed), testPair(beside)}
	for _, p := range pairs {
		if err := s.install(p); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pairs {
		if s.find(p.sa.SPIIn) != p {
			t.Errorf("find(%#x) fails", p.sa.SPIIn)
		}
		if err := s.install(testPair(p.sa.SPIIn)); err == nil {
			t.Errorf("%#x was installed twice", p.sa.SPIIn)
		}
	}
	if err := s.install(testPair(255)); err == nil {
		t.Error("a reserved SPI was installed")
	}
	s.mu.Lock()
	s.grow()
	s.mu.Unlock()
	for _, p := range pairs {
		if s.find(p.sa.SPIIn) != p {
			t.Errorf("find(%#x) fails after the table has grown", p.sa.SPIIn)
		}
		s.remove(p)
		if s.find(p.sa.SPIIn) != nil {
			t.Errorf("%#x is there after remove", p.sa.SPIIn)
		}
	}
	if s.count != 0 || s.foreign.Load() != nil {
		t.Errorf("left: %d slots, foreign %v", s.count, s.foreign.Load())
	}
}

func TestSADFull(t *testing.T) {
	if testing.Short() {
		t.Skip("a million SPIs")
	}
	s := newSAD()
	for range sadMaxSlots {
		if _, err := s.alloc(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.alloc(); err == nil {
		t.Error("one more than there are slots")
	}
}

func TestFreeSPI(t *testing.T) {
	g := newGateway(t, 1, nil)
	spi, err := g.AllocSPI()
	if err != nil {
		t.Fatal(err)
	}
	g.FreeSPI(spi)
	if g.sad.count != 0 {
		t.Error("the SPI was not freed")
	}
}
