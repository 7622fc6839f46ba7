package ike

import "culvert/ike/wire"

// exchange is an exchange that we initiate on an IKE SA. It builds the request and handles the
// response. The window handles message IDs, retransmission, fragments and caching.
type exchange interface {
	// start builds the request and passes it to ikeSA.ask, at once or after a computation. If there
	// is nothing to ask any more it calls ikeSA.done.
	start(s *ikeSA)
	// response handles the payloads of the response, which were authenticated and checked. It ends
	// with ikeSA.done, at once or after a computation.
	response(s *ikeSA, ps []wire.Payload)
	// abandon ends the exchange because no response will come, or none is wanted. The IKE SA may
	// have ended.
	abandon(s *ikeSA, why string)
	// activity returns what the exchange counts as when a request of the peer crosses it (RFC 7296,
	// Section 2.25).
	activity() ikeActivity
}

// ruled is an exchange whose response has a rule of its own, in place of its exchange type's: one
// of several rounds.
type ruled interface {
	exchange
	responseRule() payloadRule
}

// enqueue starts an exchange when those before it have ended.
func (s *ikeSA) enqueue(x exchange) {
	s.work.Add(x)
	s.startNext()
}

// startNext starts the next exchange if none is under way.
func (s *ikeSA) startNext() {
	for s.mayStart() {
		x, ok := s.work.Next()
		if !ok {
			break
		}
		x.start(s)
	}
	if s.work.Waiting() > 0 {
		s.probes.hurry()
	}
}

// mayStart reports whether the IKE SA allows an exchange of the queue. During setup only the
// setup's own exchanges run.
func (s *ikeSA) mayStart() bool { return !s.succeeding() && s.state.authenticated() }

// run starts an exchange at once, in place of the current one.
func (s *ikeSA) run(x exchange) {
	s.work.Replace(x)
	x.start(s)
}

// done ends the current exchange, and starts the next one.
func (s *ikeSA) done(x exchange) {
	if !s.work.Done(x) {
		return
	}
	s.e.touch(s.party)
	s.startNext()
}

// holds reports whether x is still the current exchange. A computation may return when the IKE SA
// has moved on.
func (s *ikeSA) holds(x exchange) bool {
	return s.work.Current() == x && !s.state.ended()
}

// abandonWork ends all exchanges without their responses.
func (s *ikeSA) abandonWork(why string) {
	all := s.work.Take()
	s.win.Withdraw()
	s.e.timers.Stop(&s.retransmission)
	for _, x := range all {
		x.abandon(s, why)
	}
}

// doing returns what we are doing with the IKE SA, for the collision rules.
func (s *ikeSA) doing() ikeActivity {
	switch {
	case s.state == saRekeyed:
		return ikeReplaced
	case s.state == saClosing:
		return ikeClosing
	case s.work.Busy():
		return s.work.Current().activity()
	}
	return ikeQuiet
}
