package ike

import (
	"strings"
	"testing"
)

// wantReason checks that the side's peer is not up, and why.
func (p *testPair) wantReason(s *testSide, text string) {
	p.t.Helper()
	st := s.e.Status()[0]
	if st.State == PeerEstablished || !strings.Contains(st.Reason, text) {
		p.fatalf("%s: state %d, reason %q, want one with %q", s.name, st.State, st.Reason, text)
	}
}

// unexplained names what is not up without a reason.
func (s *testSide) unexplained() string {
	for _, st := range s.e.Status() {
		if st.State != PeerEstablished && st.State != PeerRekeying && st.Reason == "" {
			return st.Name
		}
		for _, c := range st.Children {
			if (c.State == ChildDown || c.State == ChildWaiting) && c.Reason == "" {
				return st.Name + "/" + c.Name
			}
		}
	}
	return ""
}

// TestStatusOfStates: what people see of an IKE SA in each of its states.
func TestStatusOfStates(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	s := p.left.e.peers.order[0].party.main()
	for _, tt := range []struct {
		state  saState
		ours   *rekeyExchange
		theirs *ikeSA
		want   PeerState
	}{
		{saEstablished, nil, nil, PeerEstablished},
		{saEstablished, &rekeyExchange{}, nil, PeerRekeying},
		{saEstablished, nil, &ikeSA{}, PeerRekeying},
		{saRekeyed, nil, nil, PeerRekeying},
		{saClosing, nil, nil, PeerClosing},
		{saClosing, &rekeyExchange{}, nil, PeerClosing},
		{saHalfOpen, nil, nil, PeerDown},
	} {
		s.state, s.succ.ours, s.succ.theirs = tt.state, tt.ours, tt.theirs
		var st PeerStatus
		if s.describe(&st); st.State != tt.want {
			t.Errorf("%+v: shown as %d", tt, st.State)
		}
	}
}
