package ike

import "testing"

// TestSAStates: what may be done in each state of an IKE SA is a property of the state by name, not
// of its place in the list.
func TestSAStates(t *testing.T) {
	for _, tt := range []struct {
		state                                   saState
		name                                    string
		beforeAuth, authenticated, ending, over bool
	}{
		{saEmbryo, "embryo", true, false, false, false},
		{saConnecting, "connecting", true, false, false, false},
		{saAuthenticating, "authenticating", true, false, false, false},
		{saHalfOpen, "half-open", true, false, false, false},
		{saEstablished, "established", false, true, false, false},
		{saRekeyed, "rekeyed", false, true, false, false},
		{saClosing, "closing", false, true, true, false},
		{saDead, "dead", false, false, true, true},
		{saGone, "gone", false, false, true, true},
	} {
		s := tt.state
		if s.String() != tt.name || s.beforeAuth() != tt.beforeAuth || s.authenticated() != tt.authenticated || s.ending() != tt.ending || s.ended() != tt.over {
			t.Errorf("%v: beforeAuth %v, authenticated %v, ending %v, ended %v; want %+v",
				s, s.beforeAuth(), s.authenticated(), s.ending(), s.ended(), tt)
		}
	}
}

// TestIllegalMove: a move that is not in the table is an internal error, and a legal one is none.
func TestIllegalMove(t *testing.T) {
	mustMove(saRekeyed, saClosing)
	defer func() {
		const want = "ike: internal error: an IKE SA moves from dead to established"
		if got := recover(); got != want {
			t.Errorf("an illegal move panics with %v, want %q", got, want)
		}
	}()
	mustMove(saDead, saEstablished)
}
