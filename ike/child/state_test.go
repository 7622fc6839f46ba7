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
