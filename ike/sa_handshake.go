package ike

import (
	"time"

	"culvert/ike/timer"
	"culvert/ike/wire"
)

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
	// abandon is called if it ends while its answer waits for a computation, whose result will not
	// come: the IKE SA has ended, or answerLimit is over.
	abandon(s *ikeSA)
}

// answerLimit is how long a request of an authenticated peer may wait for its answer. IKE_AUTH has
// halfOpenLife.
const answerLimit = 30 * time.Second

// waitWithAnswer bounds the wait for the answer to the peer's last request.
func (s *ikeSA) waitWithAnswer() {
	if !s.win.Pending() || s.state.beforeAuth() || s.state.ended() {
		return
	}
	s.answerBy = &timer.Timer{Fire: s.answerOverdue}
	s.e.after(s.answerBy, answerLimit)
}

// answerOverdue refuses a request whose answer takes too long.
func (s *ikeSA) answerOverdue() {
	s.e.count("ike_answer_overdue")
	x := s.dropHandshake()
	s.conclude(nil, refuse(wire.TemporaryFailure, "the answer takes too long"))
	if x != nil {
		x.abandon(s)
	}
}

// abandonHandshake ends the wait of an IKE SA that has ended.
func (s *ikeSA) abandonHandshake() {
	if x := s.dropHandshake(); x != nil {
		x.abandon(s)
	}
}

// dropHandshake ends the handshake under way, if there is one, with the computation that it waits
// for, and returns it.
func (s *ikeSA) dropHandshake() handshake {
	x := s.handshake
	s.handshake = nil
	s.e.jobs.cancel(s)
	s.stopWaiting()
	return x
}

// stopWaiting stops the timer of waitWithAnswer.
func (s *ikeSA) stopWaiting() {
	if s.answerBy != nil {
		s.e.timers.Stop(s.answerBy)
		s.answerBy = nil
	}
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
