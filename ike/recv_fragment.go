package ike

import (
	"errors"

	"culvert/ike/budget"
	"culvert/ike/suite"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// fragment opens a fragment, and handles the message once all of its fragments are there. outer are
// the payloads before SKF{}, all of unknown types: a critical one has the message refused at once.
func (s *ikeSA) fragment(d Datagram, h wire.Header, outer []wire.Payload, f *wire.EncryptedFragment) {
	if !h.Response && h.MessageID != s.win.ExpectedID() {
		s.fragmentOfLast(d, f)
		return
	}
	r := s.win.Fragments(h)
	if s.keys.fragment == 0 || !r.Wants(f) {
		s.e.count("ike_fragment_refused")
		return
	}
	plain, err := s.keys.in.OpenFragment(d.Data, f)
	if errors.Is(err, suite.ErrAuth) {
		s.e.count("ike_auth_failed")
		return
	}
	if _, critical := wire.UnsupportedCritical(outer); critical || err != nil {
		s.opened(d, h, digestOf(d.Data), outer, err)
		return
	}
	m, complete := r.Add(f, plain, digestOf(d.Data), s.maxReassembled())
	if s.state == saHalfOpen && !s.chargeFragments(r) {
		s.e.count("ike_fragment_refused")
		return
	}
	if !complete {
		return
	}
	ps, err := wire.ParsePayloads(m.First, m.Plain)
	s.opened(d, h, m.Digest, ps, err)
}

// maxReassembled returns the most octets that a message in fragments may have.
func (s *ikeSA) maxReassembled() int {
	if s.state == saHalfOpen {
		return budget.MaxMessage
	}
	return window.MaxReassembled
}

// fragmentOfLast handles a fragment of the last request that differs from its first copy. If it is
// authentic, the peer has fragmented the request to another size, and the first fragment triggers
// the response again (RFC 7383, Section 2.6.1).
func (s *ikeSA) fragmentOfLast(d Datagram, f *wire.EncryptedFragment) {
	if f.Number != 1 {
		return
	}
	if _, err := s.keys.in.OpenFragment(d.Data, f); errors.Is(err, suite.ErrAuth) {
		s.e.count("ike_auth_failed")
		return
	}
	s.e.count("ike_duplicate_request")
	s.repeatResponse(d.Path)
}
