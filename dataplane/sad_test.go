package dataplane

import (
	"bytes"
	"testing"

	"culvert/dataplane/netio"
)

func testPair(spi uint32) *pair { return &pair{sa: knownSA{SPIIn: spi}} }

func TestSPIsAreNeverReserved(t *testing.T) {
	s := newSAD()
	// The first choice is 5, whose slot is free: reserved by RFC 4303, Section 2.1, so another must
	// be drawn.
	s.random = bytes.NewReader([]byte{0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 5})
	spi, err := s.alloc(0, 1)
	if err != nil || spi != 0x105 {
		t.Fatalf("alloc = %#x, %v, want 0x105", spi, err)
	}
}

func TestSADGrowsAndKeepsWhatItHas(t *testing.T) {
	s := newSAD()
	pairs := make(map[uint32]*pair)
	for range 5 * sadChunkSlots {
		spi, err := s.alloc(0, 1)
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
	if got, want := s.table.Load().size(), 5*sadChunkSlots*sadFullness/sadFull; got < want || got > want+sadChunkSlots {
		t.Errorf("table has %d slots for %d SAs", got, 5*sadChunkSlots)
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
	first, _ := s.alloc(0, 1)
	old := testPair(first)
	if err := s.install(old); err != nil {
		t.Fatal(err)
	}
	second, _ := s.alloc(0, 1)
	if second != 0xbb000008 {
		t.Errorf("alloc in a taken slot = %#x, want the next slot", second)
	}
	s.remove(old)
	third, _ := s.alloc(0, 1)
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
	spi, _ := s.alloc(0, 1)
	s.free(spi ^ 1<<31) // not one that was handed out
	if s.count != 1 {
		t.Error("freed an SPI that nobody has")
	}
	s.free(spi)
	s.free(spi)
	if s.count != 0 {
		t.Errorf("count after free = %d", s.count)
	}
	spi, _ = s.alloc(0, 1)
	p := testPair(spi)
	_ = s.install(p)
	s.free(spi)
	if s.find(spi) != p || s.count != 1 {
		t.Error("FreeSPI took an installed SA away")
	}
}

func TestSADTakesForeignSPIs(t *testing.T) {
	s := newSAD()
	own, _ := s.alloc(0, 1)
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
		if _, err := s.alloc(0, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.alloc(0, 1); err == nil {
		t.Error("one more than there are slots")
	}
}

func TestFreeSPI(t *testing.T) {
	g := newGateway(t, 1, nil)
	spi, err := g.AllocSPI(0)
	if err != nil {
		t.Fatal(err)
	}
	g.FreeSPI(spi)
	if g.sad.count != 0 {
		t.Error("the SPI was not freed")
	}
}

// TestSPIsOfALane: the SPIs of one lane name one worker, however many they are.
func TestSPIsOfALane(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 7, 64} {
		g := newGateway(t, workers, nil)
		for i := range 4 * sadChunkSlots { // the table grows meanwhile
			lane := 64<<20 - uint32(i%workers)*uint32(i/(2*sadChunkSlots)) // at first the same for all
			spi, err := g.AllocSPI(lane)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := netio.WorkerOf(spi, workers), int(lane%uint32(workers)); got != want || spi < minSPI {
				t.Fatalf("of %d workers: SPI %#x goes to worker %d, want %d", workers, spi, got, want)
			}
			if err := g.sad.install(testPair(spi)); err != nil {
				t.Fatal(err)
			}
		}
		if g.sad.foreign.Load() != nil {
			t.Errorf("of %d workers: an SPI that was handed out has no slot", workers)
		}
	}
}

// TestSADGrowsByChunks: the table grows by one chunk with the first SPI beyond three eighths of its
// slots.
func TestSADGrowsByChunks(t *testing.T) {
	s := newSAD()
	for want := 1; want <= 6; want++ {
		for s.count < want*sadChunkSlots*3/8 {
			if _, err := s.alloc(0, 1); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.table.Load().count; got != want {
			t.Errorf("%d chunks for %d SPIs, want %d", got, s.count, want)
		}
	}
}
