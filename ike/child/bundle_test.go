package child

import (
	"slices"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// The pairs pass to the carrier's successor, which rekeys them.
func TestHandOver(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	w.sides[1].pol.Acquire(selector.Flow{}, 0)
	w.run(5 * time.Second)
	was := [2]*quickSA{w.sides[0].sa, w.sides[1].sa}
	w.connect()
	for i, s := range w.sides {
		active := slices.Clone(s.sends)
		was[i].bundle.HandOver(s.sa)
		was[i].end(EndReplaced)
		if p := s.pol.Best(); p == nil || p.Carrier() != s.sa || s.sa.bundle.Of(s.pol) != p || !slices.Equal(active, s.sends) || len(was[i].bundle.Pairs()) != 0 {
			t.Fatalf("%s: %v is carried by %v", s.name, p, p.Carrier())
		}
	}
	w.sides[0].pol.Rekey(9)
	w.run(10 * time.Second)
	if err, ok := w.sides[0].done[9]; !ok || err != nil {
		t.Errorf("the command was answered: %v, with %v", ok, err)
	}
	w.wantUp(1)
}

// A peer names a pair by the SPI on which it receives.
func TestNamed(t *testing.T) {
	s := newStand(t, onDemand(0))
	p := s.install(s.pol.Main(), true, func(a *Agreement) { a.SA.SPIIn, a.SA.SPIOut = 0x01020304, 0x05060708 })
	s.ours()
	for spi, want := range map[string]*Pair{
		"\x05\x06\x07\x08": p, "\x01\x02\x03\x04": nil, "\x05\x06\x07": nil, "": nil, "\x05\x06\x07\x08\x09": nil, "\x05\x06\x07\x09": nil,
	} {
		if got := s.sa.bundle.Named([]byte(spi)); got != want || s.sa.bundle.ByName()[SPIOf([]byte(spi))] != want {
			t.Errorf("%x: %v", spi, got)
		}
	}
	p.Lost(EndPeer, "")
	if got := s.sa.bundle.Named([]byte{5, 6, 7, 8}); got != nil {
		t.Errorf("what has ended: %v", got)
	}
	if named := s.sa.bundle.ByName(); named[0x05060708] != nil {
		t.Errorf("what has ended: %v", named)
	}
}

// The live pair of a policy: of the main chain if there is one, otherwise of another.
func TestBundleOf(t *testing.T) {
	s := newStand(t, onDemand(0))
	main, own := s.ours(), s.own(1, true)
	b := &s.sa.bundle
	if b.Of(s.pol) != main || b.Of(&Policy{}) != nil {
		t.Errorf("got %v and %v", b.Of(s.pol), b.Of(&Policy{}))
	}
	main.moveTo(Replaced)
	if b.Of(s.pol) != own {
		t.Errorf("got %v", b.Of(s.pol))
	}
	own.moveTo(Replaced)
	if b.Of(s.pol) != nil {
		t.Errorf("got %v", b.Of(s.pol))
	}
}

// All pairs end with their carrier.
func TestBundleLost(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.ours()
	s.own(1, true)
	s.ours()
	s.sa.bundle.Lost(EndDead, "for the test")
	if len(s.sa.bundle.Pairs()) != 0 || s.table.Len() != 0 || s.pol.Reason != "for the test" {
		t.Errorf("%d pairs are left, %d in the table", len(s.sa.bundle.Pairs()), s.table.Len())
	}
}

// It is decided which of two carriers goes, and then otherwise: what was to be replaced is live
// again, unless there is a live one beside it, and what was to replace it is replaced.
func TestDecidedOtherwise(t *testing.T) {
	for _, beside := range []bool{false, true} {
		s := newStand(t, onDemand(0))
		first, second := s.sa, &stillSA{established: true}
		old := s.ours()
		s.sa = second
		p := s.ours()
		first.bundle.MakeRedundant(&second.bundle)
		if old.State() != Replaced || p.State() != Live {
			t.Fatalf("they are %v and %v", old.State(), p.State())
		}
		want := Live
		if s.sa = first; beside {
			s.ours()
			want = Replaced
		}
		second.bundle.TakeOver(&first.bundle, false)
		first.bundle.TakeOver(&second.bundle, false)
		if old.State() != want || p.State() != Replaced {
			t.Errorf("beside another one %v: they are %v and %v", beside, old.State(), p.State())
		}
	}
}

// Two carriers to the same peer: what one has the other may lack; it is made redundant; and sending
// moves over.
func TestTwoCarriers(t *testing.T) {
	s := newStand(t, onDemand(0))
	loser, winner := s.sa, &stillSA{established: true}
	old, own := s.ours(), s.own(1, true)
	if !winner.bundle.Lacks(&loser.bundle) || loser.bundle.Lacks(&winner.bundle) {
		t.Error("who lacks what is confused")
	}
	winner.bundle.MakeRedundant(&loser.bundle)
	loser.bundle.MakeRedundant(&winner.bundle)
	if old.State() != Live {
		t.Fatalf("it is %v, and nothing replaces it", old.State())
	}
	s.sa = winner
	p := s.install(s.pol.Main(), false, nil)
	if winner.bundle.Lacks(&loser.bundle) {
		t.Error("it has what the other has")
	}
	s.plane = nil
	winner.bundle.TakeOver(&loser.bundle, false)
	s.wantPlane("taken over", "send 3, stop 1")
	if old.State() != Replaced || old.Next() != p || own.State() != Live {
		t.Errorf("it is %v, replaced by %v; the worker's is %v", old.State(), old.Next(), own.State())
	}
	winner.bundle.TakeOver(&loser.bundle, false)
	s.wantPlane("again", "")
	winner.bundle.TakeOver(&loser.bundle, true)
	s.wantPlane("from a silent one", "stop 2")
	own.moveTo(Replaced)
	if winner.bundle.Lacks(&loser.bundle) {
		t.Error("what is not live is missed")
	}
}

// What takes the place of a pair on another carrier: one of its chain, or one that carries as much;
// of a worker's, any of its policy. One like it is wanted once.
func TestInPlaceOf(t *testing.T) {
	s := newStand(t, wideSettings())
	main, part, other := s.up("10.2.0.0/24"), s.part("10.2.1.0/24"), s.part("10.2.2.0/24")
	old := s.sa
	s.sa = &stillSA{established: true}
	b := &s.sa.bundle
	want := func(what string, q, in *Pair, wanted bool) {
		t.Helper()
		if got := b.InPlaceOf(q); got != in || b.Wants(q) != wanted {
			t.Errorf("%s: in its place %v, want %v; one like it is wanted: %v", what, got, in, b.Wants(q))
		}
	}
	want("nothing there", part, nil, true)
	again := s.install(part.chain, true, func(a *Agreement) { a.SA.RemoteTS, a.Further = networks("10.2.1.0/24"), true })
	want("the same part", part, again, false)
	want("another part", main, nil, true)
	if !b.Lacks(&old.bundle) {
		t.Error("it lacks two pairs")
	}
	main.Copied()
	want("asked for", main, nil, false)
	wide := s.part("10.2.0.0/16")
	want("a wider one", other, wide, false)
	if b.Lacks(&old.bundle) {
		t.Error("it lacks nothing that was not asked for")
	}
	worker := s.install(&Chain{policy: s.pol, resource: 1}, true, func(a *Agreement) { a.SA.RemoteTS, a.Further, a.Grouped = networks("10.2.9.0/24"), true, true })
	worker.carrier = old
	want("a worker's", worker, b.Of(s.pol), false)
	b.TakeOver(&old.bundle, false)
	if part.next != again || other.next != wide || main.next != wide {
		t.Errorf("replaced by %v, %v and %v", part.next, other.next, main.next)
	}
}

// The pairs of several policies on one carrier are told apart, whichever came last.
func TestBundleOfSeveral(t *testing.T) {
	s := newStand(t, onDemand(0))
	first := s.ours()
	other := NewPolicy(s.table, s, 8, ipsec.PolicyName{}, onDemand(0))
	second := s.install(other.Main(), true, nil)
	if b := &s.sa.bundle; b.Of(s.pol) != first || b.Of(other) != second {
		t.Errorf("got %v and %v", b.Of(s.pol), b.Of(other))
	}
}

// What the peer just rekeys on the carrier that stays, it may not have yet: sending moves to the
// pair that it rekeys.
func TestTakeOverDuringARekeying(t *testing.T) {
	s := newStand(t, onDemand(0))
	loser, winner := s.sa, &stillSA{established: true}
	s.ours()
	s.sa = winner
	p := s.ours()
	s.sa = loser
	s.ours()
	s.sa = winner
	next := s.install(s.pol.Main(), false, nil)
	p.Replaced(next)
	s.plane = nil
	winner.bundle.TakeOver(&loser.bundle, false)
	s.wantPlane("taken over", "send 2, stop 3")
}
