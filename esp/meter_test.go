package esp

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// The last octet before a hard limit can be sent, and none after it.
func TestHardOctetsAreExact(t *testing.T) {
	out, err := NewOutbound(&SA{SPI: 256, Key: make([]byte, 20), Cipher: Cipher{ID: AESGCM16, KeyBits: 128}, Limits: Limits{HardBytes: 100}})
	if err != nil {
		t.Fatalf("the lowest SPI: %v", err)
	}
	if _, _, err := out.Reserve(1, 100); err != nil {
		t.Errorf("up to the limit: %v", err)
	}
	if _, _, err := out.Reserve(1, 1); !errors.Is(err, ErrExhausted) {
		t.Errorf("beyond the limit: %v", err)
	}
}

// The shortest packet with an SPI has no payload and no padding, no IV, and the shortest ICV: that
// of NULL and HMAC-SHA1-96.
func TestSPINeedsAWholePacket(t *testing.T) {
	pkt := make([]byte, HeaderLen+2+12)
	pkt[3] = 1
	if spi, ok := SPI(pkt); !ok || spi != 1 {
		t.Errorf("SPI %d, %v, want 1", spi, ok)
	}
	if _, ok := SPI(pkt[:len(pkt)-1]); ok {
		t.Error("a packet that is too short has an SPI")
	}
}

// TestUsageCounter: the counts are plain sums, over many times what the word holds of either, from
// any state on, with long and short runs.
func TestUsageCounter(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		want := Usage{Packets: r.Uint64() >> (1 + r.IntN(63)), Octets: r.Uint64() >> (1 + r.IntN(63))}
		var c usageCounter
		c.store(want)
		start := want
		for range 5_000 {
			packets, octets := r.Uint64N(packetsLag+1), r.Uint64N(octetsLag+1)
			packets, octets = packets>>r.IntN(30), octets>>r.IntN(40)
			want.Packets += packets
			want.Octets += octets
			if got := c.sum(packets, octets); got != want || c.load() != want {
				t.Fatalf("from %+v: %+v, then %+v, want %+v", start, got, c.load(), want)
			}
		}
		if want.Octets-start.Octets < 4<<octetBits || want.Packets-start.Packets < 4<<packetBits {
			t.Fatalf("%+v to %+v: the test tests little", start, want)
		}
	}
}

// TestUsageIsTheNearest: whether what was read before the sum is behind it or ahead of it.
func TestUsageIsTheNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		near := Usage{Packets: r.Uint64() >> 1, Octets: r.Uint64() >> 1}
		want := Usage{
			Packets: near.Packets + r.Uint64N(1<<packetBits) - 1<<(packetBits-1),
			Octets:  near.Octets + r.Uint64N(1<<octetBits) - 1<<(octetBits-1),
		}
		if got := near.nearest(want.Octets + want.Packets<<octetBits); got != want {
			t.Fatalf("the nearest to %+v is %+v, want %+v", near, got, want)
		}
	}
}

// TestSettleLate: a goroutine that settles after another has added learns of the sum of its own.
func TestSettleLate(t *testing.T) {
	var c usageCounter
	first, _ := c.add(1, 100)
	second, _ := c.add(1, 10)
	for word, want := range map[uint64]Usage{first: {1, 100}, second: {2, 110}} {
		if got := c.settle(word, &thresholds{10, 10, 10, 10}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// TestLimitsAreNotCalm: whatever brings a count to a limit, or over the hard one, is told, and
// little else is.
func TestLimitsAreNotCalm(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		start := Usage{Packets: r.Uint64() >> (1 + r.IntN(63)), Octets: r.Uint64() >> (1 + r.IntN(63))}
		var c usageCounter
		c.store(start)
		within := func(n, steps, size uint64) uint64 { return n + r.Uint64N(steps*size) }
		const steps, size = 1000, 1 << 30
		l := &thresholds{softOctets: within(start.Octets, steps, size), softPackets: within(start.Packets, steps, 1)}
		l.hardOctets, l.hardPackets = within(l.softOctets, steps, size), within(l.softPackets, steps, 1)
		sum, told := start, 0
		for range steps {
			n := r.Uint64N(size + 1)
			sum.Packets, sum.Octets = sum.Packets+1, sum.Octets+n
			word, calm := c.add(1, n)
			over := sum.Packets > l.hardPackets || sum.Octets > l.hardOctets
			reaches := reached(sum.Packets, 1, l.softPackets) || reached(sum.Octets, n, l.softOctets)
			if calm && (over || reaches) {
				t.Fatalf("seed %d: calm at %+v, from %+v, limits %+v", seed, sum, start, *l)
			}
			if calm {
				continue
			}
			if !over && !reaches {
				told++
			}
			if got := c.settle(word, l); got != sum {
				t.Fatalf("seed %d: %+v, want %+v", seed, got, sum)
			}
		}
		if most := 2 + int(steps*size/octetsLag); told > most {
			t.Errorf("seed %d: %d of %d packets were told of without a limit, want at most %d", seed, told, steps, most)
		}
	}
}

// TestUsageConcurrently: each sum is seen by one goroutine, in rising order, and none is lost, also
// where near changes.
func TestUsageConcurrently(t *testing.T) {
	const workers, each, size = 4, 20_000, 1 << 20 // 5 times octetsLag in all, and over a carry
	start := Usage{Packets: 1<<packetBits - 100, Octets: 3<<octetBits - 100*size}
	var c usageCounter
	c.store(start)
	seen := make([][]Usage, workers)
	var wg sync.WaitGroup
	for w := range seen {
		wg.Go(func() {
			for range each {
				seen[w] = append(seen[w], c.sum(1, size))
			}
		})
	}
	wg.Wait()
	all := map[uint64]bool{}
	for _, list := range seen {
		last := uint64(0)
		for _, u := range list {
			n := u.Packets - start.Packets
			if u.Octets-start.Octets != n*size || all[n] || n <= last || n > workers*each {
				t.Fatalf("%+v after %d packets, from %+v", u, last, start)
			}
			all[n], last = true, n
		}
	}
}

// sum is add, and the sums.
func (c *usageCounter) sum(packets, octets uint64) Usage {
	word, calm := c.add(packets, octets)
	if calm {
		return c.near().nearest(word)
	}
	return c.settle(word, &thresholds{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64})
}
