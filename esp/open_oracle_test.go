package esp

import (
	"math/rand/v2"
	"testing"
)

// runOracle models what runs may do to an SA, with a map of all accepted numbers. Runs are
// decrypted before any of their packets is accepted, so numbers behind the window of the newest one
// of the run may still be accepted; numbers that were behind the window before the run may not.
type runOracle struct {
	oracle
	packets uint64
}

// sent is a packet of a run, as the test knows it.
type sent struct {
	seq    uint64
	forged bool
}

// judgeRun fails the test if the run may not have fared so.
func (o *runOracle) judgeRun(t *testing.T, in *Inbound, before uint64, what []sent, run []Packet, a Arrival) {
	t.Helper()
	at, good := o.top, 0
	for i, p := range run {
		w, got := what[i], run[i].Err == nil
		behind := w.seq < before && before-w.seq >= o.size+2*blockBits
		switch {
		case got && (w.forged || w.seq != p.Seq):
			t.Fatalf("size %d, top %#x: %d of the run, %#x (forged %v), was taken for %#x", o.size, before, i, w.seq, w.forged, p.Seq)
		case got && (o.accepted[w.seq] || behind):
			t.Fatalf("size %d, top %#x: %#x was taken twice (%v) or from behind the window", o.size, before, w.seq, o.accepted[w.seq])
		case !got && !w.forged && !o.accepted[w.seq] && o.inside(w.seq):
			t.Fatalf("size %d, top %#x: %#x was refused: %v", o.size, o.top, w.seq, p.Err)
		}
		if got {
			o.accepted[w.seq], good = true, good+1
			o.top = max(o.top, w.seq)
		}
	}
	o.packets += uint64(good)
	if a.Authentic != (good > 0) || a.Newest != (o.top > at) || in.Used().Packets != o.packets || o.top > 0 && in.window.top.Load() != o.top>>blockShift {
		t.Fatalf("size %d: %d good, top %#x -> %#x: %+v, %+v, the window at block %#x", o.size, good, at, o.top, a, in.Used(), in.window.top.Load())
	}
}

// Runs against the oracle: numbers that jump ahead and fall behind within a run, duplicates within
// a run, forged packets before the genuine ones and far ahead of all, at the edges of small
// windows, and across the ends of the low half of the number.
func TestRunAgainstOracle(t *testing.T) {
	for _, size := range []int{32, 33, 64, 1000} {
		for _, start := range []uint64{0, 1<<32 - 300, 3<<32 - 300, 1<<37 - 300} {
			for seed := range uint64(6) {
				r := rand.New(rand.NewPCG(seed, uint64(size)))
				sa := pair(aes128, start != 0 || seed%2 == 0, size)
				out, in := mustOut(t, sa), mustIn(t, sa)
				o := &runOracle{oracle: oracle{size: uint64(size), top: start, accepted: map[uint64]bool{}}}
				in.window.top.Store(start >> blockShift)
				o.top = start &^ blockMask
				for range 60 {
					before := o.top
					what, run := anyRun(r, out, &o.oracle, start)
					a := in.Open(new(Scratch), run)
					o.judgeRun(t, in, before, what, run, a)
				}
				if o.packets < 100 || o.top < start+300 {
					t.Fatalf("size %d, start %#x: %d packets up to %#x: the test tests little", size, start, o.packets, o.top)
				}
			}
		}
	}
}

// anyRun is up to a run's packets around the top of the window.
func anyRun(r *rand.Rand, out *Outbound, o *oracle, start uint64) (what []sent, run []Packet) {
	top := o.top
	for range 1 + r.IntN(64) {
		s := sent{seq: max(nextNumber(r, top, o.size), 1)}
		if s.seq+o.size < start { // of the time before the test
			continue
		}
		switch r.IntN(10) {
		case 0: // forged, and the genuine one behind it
			what, run = append(what, sent{s.seq, true}), append(run, Packet{Data: forged(r, out, s.seq)})
		case 1: // forged, from far ahead
			s = sent{s.seq + r.Uint64N(1<<31), true}
		case 2, 3: // once more what the run had
			if len(what) > 0 {
				s = what[r.IntN(len(what))]
			}
		}
		pkt := sealNumber(out, s.seq, r.IntN(40))
		if s.forged {
			pkt = forged(r, out, s.seq)
		} else {
			top = max(top, s.seq)
		}
		what, run = append(what, s), append(run, Packet{Data: pkt})
	}
	return what, run
}

// forged is a packet of that number with a wrong ICV.
func forged(r *rand.Rand, out *Outbound, seq uint64) []byte {
	pkt := sealNumber(out, seq, r.IntN(40))
	pkt[usualHeadroom+r.IntN(len(pkt)-usualHeadroom)] ^= 1 << r.IntN(8)
	return pkt
}
