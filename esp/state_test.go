package esp

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// movedPair is a pair of testSA that is replaced by one with its state.
type movedPair struct {
	t   *testing.T
	sa  SA
	out *Outbound
	in  *Inbound
}

func newMovedPair(t *testing.T, sa SA) *movedPair {
	t.Helper()
	p := &movedPair{t: t, sa: sa}
	p.make()
	return p
}

func (p *movedPair) make() {
	p.t.Helper()
	out, err := NewOutbound(&p.sa)
	if err != nil {
		p.t.Fatal(err)
	}
	in, err := NewInbound(&p.sa)
	if err != nil {
		p.t.Fatal(err)
	}
	p.out, p.in = out, in
}

func (p *movedPair) state() State {
	return State{Sent: p.out.Used(), Received: p.in.Used(), Highest: p.in.Highest()}
}

// move takes the state out and puts it into a new pair.
func (p *movedPair) move() { p.sa.State = p.state(); p.make() }

func (p *movedPair) accept(seq uint64) error {
	if !p.in.window.check(seq) {
		return ErrReplay
	}
	if fresh, _ := p.in.window.accept(seq>>blockShift, 1<<(seq&blockMask)); fresh == 0 {
		return ErrReplay
	}
	return nil
}

func stateSA(window int) SA {
	return SA{
		SPI: 0x1001, Cipher: Cipher{ID: AESGCM16, KeyBits: 128}, Key: make([]byte, 20),
		ReplayWindow: window, Limits: Limits{HardBytes: 10_000, HardPackets: 100},
	}
}

// Sequence numbers, octets and limits go on in the pair that the state is put into.
func TestStateOfOutbound(t *testing.T) {
	p := newMovedPair(t, stateSA(64))
	first, _, err := p.out.Reserve(40, 1000)
	if err != nil || first != 1 {
		t.Fatal(first, err)
	}
	p.move()
	if got := p.out.Used(); got != (Usage{40, 1000}) {
		t.Errorf("used %+v", got)
	}
	if first, _, err = p.out.Reserve(20, 1000); err != nil || first != 41 {
		t.Errorf("the next number is %d, %v", first, err)
	}
	p.move()
	if _, soft, err := p.out.Reserve(34, 0); !soft || err != nil { // the 94th of 100
		t.Errorf("soft %v, %v", soft, err)
	}
	p.move()
	if _, soft, err := p.out.Reserve(1, 0); soft || err != nil {
		t.Errorf("the soft limit is reached again: %v, %v", soft, err)
	}
	if _, _, err := p.out.Reserve(6, 0); !errors.Is(err, ErrExhausted) {
		t.Errorf("beyond the end: %v", err)
	}
	if _, _, err := p.out.Reserve(1, 9000); !errors.Is(err, ErrExhausted) {
		t.Errorf("beyond the octets: %v", err)
	}
}

func TestSkip(t *testing.T) {
	for _, tt := range []struct{ sent, skip, want uint64 }{
		{5, 10, 15}, {0, 0, 0}, {5, math.MaxUint64, math.MaxUint64}, {math.MaxUint64, 1, math.MaxUint64},
	} {
		s := State{Sent: Usage{tt.sent, 7}, Received: Usage{1, 2}, Highest: 3}
		if got := s.Skip(tt.skip); got != (State{Sent: Usage{tt.want, 7}, Received: Usage{1, 2}, Highest: 3}) {
			t.Errorf("%d and %d more: %+v", tt.sent, tt.skip, got)
		}
	}
	sa := stateSA(64)
	sa.State = State{}.Skip(1000)
	p := newMovedPair(t, sa)
	if _, _, err := p.out.Reserve(1, 0); !errors.Is(err, ErrExhausted) {
		t.Errorf("skipped beyond the end: %v", err)
	}
}

// Whatever was accepted before is refused by the window with the state, and so is every number up
// to the highest; all higher ones are accepted, once.
func TestStateOfInbound(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		size := []int{32, 33, 64, 100, 1024, 0}[r.IntN(6)]
		p := newMovedPair(t, stateSA(size))
		var highest uint64
		base := []uint64{1, 31, 32, 1 << 20, 1<<32 - 40}[r.IntN(5)]
		for range r.IntN(200) {
			if n := base + uint64(r.IntN(300)); p.accept(n) == nil {
				highest = max(highest, n)
			}
		}
		if got := p.in.Highest(); size != 0 && got != highest || size == 0 && (got < highest || got > highest|blockMask) {
			t.Fatalf("seed %d, size %d: the highest is %d, want %d", seed, size, got, highest)
		}
		if p.move(); p.in.Highest() != p.sa.State.Highest {
			t.Fatalf("seed %d: the state changed from %d to %d", seed, p.sa.State.Highest, p.in.Highest())
		}
		if size == 0 {
			continue
		}
		for n := highest - min(highest, 2*uint64(size)); n <= highest; n++ {
			if p.accept(n) == nil {
				t.Fatalf("seed %d, size %d: %d is accepted, and the highest was %d", seed, size, n, highest)
			}
		}
		for _, n := range []uint64{highest + 1, highest + 33, highest + 2, highest + 5000} {
			if p.accept(n) != nil || p.accept(n) == nil {
				t.Fatalf("seed %d, size %d: %d is not accepted once after %d", seed, size, n, highest)
			}
		}
	}
}

func TestStateCountsOn(t *testing.T) {
	sa := stateSA(64)
	sa.State = State{Received: Usage{30, 9_990}, Highest: 30}
	p := newMovedPair(t, sa)
	if got := p.in.Used(); got != (Usage{30, 9_990}) {
		t.Errorf("received %+v", got)
	}
	if got := p.state(); got != sa.State {
		t.Errorf("the state is %+v, want %+v", got, sa.State)
	}
}
