package child

import "testing"

// TestStates: what may be done with a pair is a property of its state by name.
func TestStates(t *testing.T) {
	for _, tt := range []struct {
		state       State
		name        string
		usable, end bool
	}{
		{Live, "live", true, false},
		{Replaced, "replaced", true, false},
		{Deleting, "deleting", false, false},
		{Lingering, "lingering", false, true},
		{Gone, "gone", false, true},
	} {
		s := tt.state
		if s.String() != tt.name || s.Usable() != tt.usable || s.Ended() != tt.end {
			t.Errorf("%v: usable %v, ended %v; want %+v", s, s.Usable(), s.Ended(), tt)
		}
	}
}

// TestMoves: a move is legal by the table, for every two states; another one is an internal error.
func TestMoves(t *testing.T) {
	legal := map[[2]State]bool{
		{Live, Replaced}: true, {Live, Deleting}: true, {Live, Lingering}: true, {Live, Gone}: true,
		{Replaced, Live}: true, {Replaced, Deleting}: true, {Replaced, Lingering}: true, {Replaced, Gone}: true,
		{Deleting, Lingering}: true, {Deleting, Gone}: true,
		{Lingering, Gone}: true,
	}
	for from := Live; from <= Gone; from++ {
		for to := Live; to <= Gone; to++ {
			p := &Pair{state: from}
			func() {
				defer func() {
					if err := recover(); (err == nil) != legal[[2]State{from, to}] {
						t.Errorf("from %v to %v: %v", from, to, err)
					}
				}()
				p.moveTo(to)
				if p.State() != to {
					t.Errorf("from %v to %v: it is %v", from, to, p.State())
				}
			}()
		}
	}
}

// The owner looks at its policies after each move of a pair that is carried.
func TestMovesTouchTheOwner(t *testing.T) {
	s := newStand(t, onDemand(0))
	p := s.ours()
	s.touched = false
	if p.moveTo(Replaced); !s.touched {
		t.Error("the owner is not touched")
	}
}
