package dataplane

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// TestSADTableNumbers: with each chunk more, exactly one chunk is split, and every SPI stays where
// it is or moves to the new chunk.
func TestSADTableNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	spis := make([]uint32, 2000)
	for i := range spis {
		spis[i] = r.Uint32()
	}
	table := newSAD().table.Load()
	for n := 1; n < 40; n++ {
		next, from := table.grow()
		moved := 0
		for _, spi := range spis {
			switch is := next.chunk(spi); {
			case is == next.chunks[n]:
				moved++
				if table.chunk(spi) != from {
					t.Fatalf("%d chunks: %#x moves from a chunk that is not split", n, spi)
				}
			case is != table.chunk(spi):
				t.Fatalf("%d chunks: %#x moves to a chunk that is not new", n, spi)
			}
		}
		distinct := map[*sadChunk]bool{}
		for _, c := range next.chunks {
			distinct[c] = true
		}
		if len(distinct) != n+1 || next.count != n+1 || moved == 0 {
			t.Fatalf("%d chunks: then there are %d, counted as %d; %d SPIs moved", n, len(distinct), next.count, moved)
		}
		table = next
	}
}

// TestSADGrowsUnderLookUps: an SA that stays is found at each moment, while the table grows and
// other SAs come and go.
func TestSADGrowsUnderLookUps(t *testing.T) {
	s := newSAD()
	stays := make([]*pair, 100)
	for i := range stays {
		spi, err := s.alloc(0, 1)
		if err != nil {
			t.Fatal(err)
		}
		stays[i] = testPair(spi)
		if err := s.install(stays[i]); err != nil {
			t.Fatal(err)
		}
	}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, p := range stays {
					if got := s.find(p.sa.SPIIn); got != p {
						t.Errorf("%#x: %v", p.sa.SPIIn, got)
						return
					}
				}
			}
		})
	}
	var others []*pair
	for n := range 20 * sadChunkSlots {
		spi, err := s.alloc(0, 1)
		if err != nil {
			t.Fatal(err)
		}
		p := testPair(spi)
		if err := s.install(p); err != nil {
			t.Fatal(err)
		}
		if others = append(others, p); n%3 == 0 {
			s.remove(others[0])
			others = others[1:]
		}
	}
	close(stop)
	readers.Wait()
	if n := s.table.Load().count; n < 30 {
		t.Errorf("%d chunks", n)
	}
}

// TestFindAll: what is installed, what is handed out only, and what is nobody's.
func TestFindAll(t *testing.T) {
	s := newSAD()
	var spis []uint32
	want := map[uint32]*pair{}
	for n := range 3 * sadChunkSlots {
		spi, err := s.alloc(0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if spis = append(spis, spi, spi^1<<31); n%3 > 0 {
			want[spi] = testPair(spi)
			if err := s.install(want[spi]); err != nil {
				t.Fatal(err)
			}
		}
	}
	foreign := testPair(spis[1])
	if want[spis[1]] = foreign; s.install(foreign) != nil {
		t.Fatal("a foreign SPI")
	}
	found := make([]*pair, len(spis))
	s.findAll(spis, found)
	for i, spi := range spis {
		if found[i] != want[spi] || s.find(spi) != want[spi] {
			t.Errorf("%#x: %v and %v, want %v", spi, found[i], s.find(spi), want[spi])
		}
	}
}

// TestFindInAGrownTable: an SPI whose slot has moved since the table was loaded is found in the new
// one, also after several changes, and one that is nobody's in none.
func TestFindInAGrownTable(t *testing.T) {
	s := newSAD()
	old := s.table.Load()
	var pairs []*pair
	for range 3 * sadChunkSlots {
		spi, err := s.alloc(0, 1)
		if err != nil {
			t.Fatal(err)
		}
		p := testPair(spi)
		if err := s.install(p); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	moved := 0
	for _, p := range pairs {
		if old.get(p.sa.SPIIn) == nil {
			moved++
		}
		if got := s.findElsewhere(old, p.sa.SPIIn); got != p {
			t.Errorf("%#x: %v", p.sa.SPIIn, got)
		}
	}
	if moved < len(pairs)/2 {
		t.Errorf("%d of %d SPIs have moved", moved, len(pairs))
	}
	if p := s.findElsewhere(old, 0); p != nil {
		t.Errorf("%v has no SPI", p)
	}
}

// BenchmarkFindNobodys looks a burst up that is no SA's, such as IKE.
func BenchmarkFindNobodys(b *testing.B) {
	s := newSAD()
	var spis [maxReceives]uint32
	var found [maxReceives]*pair
	for b.Loop() {
		s.findAll(spis[:], found[:])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(spis)), "ns/SPI")
}
