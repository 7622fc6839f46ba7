package netlab

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWireImpairs(t *testing.T) {
	l := Need(t)
	a, b := must(l.Host("a"))(t), must(l.Host("b"))(t)
	w := must(l.Wire(Iface{a, "wan", []string{"192.0.2.1/24"}}, Iface{b, "wan", []string{"192.0.2.2/24"}}, 1500, 1))(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := Transfer(ctx, a, left, b, right, 1<<20); err != nil {
		t.Fatalf("through a clean wire: %v", err)
	}
	w.Impair(Impairment{Drop: 0.1, Double: 0.1, Delay: 0.2, MaxDelay: 5 * time.Millisecond})
	s := must(StartStream(a, left, b, right, 1000, 100))(t)
	if err := Until(ctx, "a thousand datagrams", func() bool { return s.Sent.Load() >= 1000 }); err != nil {
		t.Fatal(err)
	}
	lost := s.Stop(time.Second)
	if lost == 0 || s.Doubled.Load() == 0 || s.Reordered.Load() == 0 {
		t.Errorf("lost %d, doubled %d, reordered %d: the wire impairs nothing", lost, s.Doubled.Load(), s.Reordered.Load())
	}
	if n := uint64(len(s.Missing())); n == 0 || n > lost || n+20 < lost { // the last ones are not counted
		t.Errorf("%d are missing of %d lost", n, lost)
	}
}

// TestWireHolds: a frame that is held arrives later, and all others at once.
func TestWireHolds(t *testing.T) {
	var w Wire
	w.rng = rand.New(rand.NewPCG(1, 0))
	w.Impair(Impairment{Hold: func(frame []byte) time.Duration { return time.Duration(frame[0]) * time.Millisecond }})
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends[0])
	for _, f := range []byte{100, 0} {
		w.forward(ends[1], []byte{f}, w.impairment.Load())
	}
	for _, want := range []byte{0, 100} {
		var got [1]byte
		if n, err := unix.Read(ends[0], got[:]); n != 1 || err != nil || got[0] != want {
			t.Fatalf("got %v, %v, want frame %d", got, err, want)
		}
	}
	if n := w.Delayed.Load(); n != 1 {
		t.Errorf("%d frames are delayed", n)
	}
	unix.Close(ends[1])
}
