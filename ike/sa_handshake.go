package ike

import "culvert/ike/wire"

// A handshake is an exchange that the peer initiates, the counterpart of exchange: that of one
// request, or of several. ikeSA.handshake is the one that is under way: it computes its answer, or
// waits for its next request and takes that one. Other requests are handled meanwhile; one that
// begins a handshake ends the one that waits. A handshake that does not end at once sets
// ikeSA.handshake itself, and clears it at its end.
type handshake interface {
	// expects reports whether a request of the exchange type may be the next one. It is asked
	// before the request is opened.
	expects(ex wire.ExchangeType) bool
	// rule returns the rule for the payloads of that request.
	rule() payloadRule
	// request handles it and returns the answer. It returns errPending when ikeSA.conclude follows
	// later, after a computation.
	request(s *ikeSA, ps []wire.Payload) ([]wire.Payload, error)
}

// awaits reports whether the handshake under way expects a request of the exchange type.
func (s *ikeSA) awaits(ex wire.ExchangeType) bool {
	return s.handshake != nil && s.handshake.expects(ex)
}

// handshakeFor returns the handshake that takes a request, the one under way or a new one, or nil
// if the request is handled by itself.
func (s *ikeSA) handshakeFor(ex wire.ExchangeType, ps []wire.Payload) handshake {
	switch {
	case s.awaits(ex):
		return s.handshake
	case ex != wire.CreateChildSA:
		return nil
	case proposesIKE(ps):
		return &rekeyHandshake{}
	}
	return &childHandshake{}
}

// endHandshake ends a handshake that is under way.
func (s *ikeSA) endHandshake(x handshake) {
	if s.handshake == x {
		s.handshake = nil
	}
}
