package esp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// sealNumber is a packet with that number.
func sealNumber(o *Outbound, seq uint64, n int) []byte {
	return o.Seal(new(Scratch), make([]byte, n+MaxOverhead), seq, text(n), NextIPv4)
}

func runOf(sealed ...[]byte) (run []Packet) {
	for _, pkt := range sealed {
		run = append(run, Packet{Data: bytes.Clone(pkt)})
	}
	return run
}

// anyPacket is a packet of a number near top, as a network, a peer or an attacker might deliver it.
func anyPacket(r *rand.Rand, o *Outbound, k *keyed, top uint64) []byte {
	seq := top + 60 - min(r.Uint64N(100), top+59)
	pkt := sealNumber(o, seq, r.IntN(40))
	switch r.IntN(12) {
	case 0:
		pkt[r.IntN(len(pkt))] ^= 1 << r.IntN(8)
	case 1:
		pkt = pkt[:r.IntN(len(pkt))]
	case 2:
		pkt = sealText(k, seq, []byte{0, NextDummy})
	case 3:
		pkt = sealText(k, seq, []byte{9, 9, 3, NextIPv4})
	}
	return pkt
}

// A run fares as its packets would have one by one: late, twice, forged, cut, dummies and all.
func TestRunIsItsPackets(t *testing.T) {
	for _, window := range []int{0, 1024} {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 3))
			sa := pair(aes128, window != 0, window)
			sa.Limits = Limits{HardBytes: 4000 + r.Uint64N(9000), HardPackets: 200 + r.Uint64N(300)}
			o, in, slow := mustOut(t, sa), mustIn(t, sa), mustIn(t, sa)
			for top := uint64(0); top < 1000; top += 25 {
				var sealed [][]byte
				for range 1 + r.IntN(50) {
					sealed = append(sealed, anyPacket(r, o, &in.keyed, top))
				}
				compareRun(t, in, slow, sealed)
			}
		}
	}
}

// compareRun gives a run to in, and its packets one by one to slow.
func compareRun(t *testing.T, in, slow *Inbound, sealed [][]byte) {
	t.Helper()
	run := runOf(sealed...)
	got := in.Open(new(Scratch), run)
	var want Arrival
	for i, p := range run {
		alone, a := openOne(slow, bytes.Clone(sealed[i]))
		want.Authentic, want.Newest = want.Authentic || a.Authentic, want.Newest || a.Newest
		want.Soft, want.Hard = want.Soft || a.Soft, want.Hard || a.Hard
		if alone.Err == ErrReplay && p.Err == ErrICV {
			continue // a copy that was forged too, of a packet of the same run
		}
		if p.Err != alone.Err || !bytes.Equal(p.Data, alone.Data) || p.Err == nil && (p.Seq != alone.Seq || p.Next != alone.Next) {
			t.Fatalf("packet %d of %d: %+v, alone %+v", i, len(run), p, alone)
		}
	}
	if got != want || in.Used() != slow.Used() {
		t.Fatalf("a run of %d: %+v, %+v; its packets: %+v, %+v", len(run), got, in.Used(), want, slow.Used())
	}
}

// Goroutines that decrypt runs at the same time, and finish in any order, lose nothing if the runs
// are accepted in order, even with a small window.
func TestDecryptInAnyOrder(t *testing.T) {
	sa := pair(aes128, true, MinWindow)
	o, in := mustOut(t, sa), mustIn(t, sa)
	var runs [][]Packet
	for first := uint64(1); first < 500; first += 50 {
		var sealed [][]byte
		for seq := first; seq < first+50; seq++ {
			sealed = append(sealed, sealNumber(o, seq, 20))
		}
		runs = append(runs, runOf(sealed...))
	}
	for _, run := range slices.Backward(runs) {
		for i := range run {
			in.Decrypt(new(Scratch), &run[i])
		}
	}
	if used, top := in.Used(), in.window.top.Load(); used != (Usage{}) || top != 0 {
		t.Fatalf("decryption alone: %+v counted, the window at %d", used, top)
	}
	for i, run := range runs {
		if a := in.Accept(run); a != (Arrival{Authentic: true, Newest: true}) {
			t.Errorf("run %d: %+v", i, a)
		}
		for _, p := range run {
			if p.Err != nil {
				t.Fatalf("number %d: %v", p.Seq, p.Err)
			}
		}
	}
	if used := in.Used(); used != (Usage{500, 10000}) {
		t.Errorf("%+v counted", used)
	}
}

// Goroutines that open the same packets at the same time, in runs of different lengths, open each
// packet once.
func TestOpenByManyGoroutines(t *testing.T) {
	sa := pair(aes128, false, 1024)
	o, in := mustOut(t, sa), mustIn(t, sa)
	const packets, workers = 3000, 4
	var sealed [][]byte
	for seq := uint64(1); seq <= packets; seq++ {
		sealed = append(sealed, sealNumber(o, seq, 20))
	}
	var opened [packets + 1]atomic.Int32
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			var s Scratch
			for some := range slices.Chunk(sealed, 1+i*13) {
				run := runOf(some...)
				in.Open(&s, run)
				for _, p := range run {
					switch {
					case p.Err == nil:
						opened[p.Seq].Add(1)
					case !errors.Is(p.Err, ErrReplay):
						t.Error(p.Err)
					}
				}
			}
		})
	}
	wg.Wait()
	for seq := 1; seq <= packets; seq++ {
		// Every goroutine reads in order, so that each number is first tried by the one in front.
		if n := opened[seq].Load(); n != 1 {
			t.Fatalf("number %d was opened %d times", seq, n)
		}
	}
	if used := in.Used(); used != (Usage{packets, packets * 20}) {
		t.Errorf("%+v counted", used)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	for _, c := range allCiphers() {
		for _, esn := range []bool{false, true} {
			sa := pair(c, esn, 4096)
			o, in := mustOut(t, sa), mustIn(t, sa)
			var s Scratch
			var run [4]Packet
			var bufs [len(run)][2000]byte
			payload := text(1400)
			if n := testing.AllocsPerRun(100, func() {
				seq, _, err := o.Reserve(len(run), len(run)*len(payload))
				if err != nil {
					t.Error(err)
				}
				for i := range run {
					run[i] = Packet{Data: o.Seal(&s, bufs[i][:], seq+uint64(i), payload, NextIPv4)}
				}
				if a := in.Open(&s, run[:]); !a.Newest || run[3].Err != nil {
					t.Errorf("%+v, %v", a, run[3].Err)
				}
				bufs[0][30] ^= 1
				run[0] = Packet{Data: bufs[0][:o.SealedLen(len(payload))]}
				if in.Open(&s, run[:1]); run[0].Err == nil {
					t.Error("opened a replay")
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations for each run, want 0", c, n)
			}
		}
	}
}
