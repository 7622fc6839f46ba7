package ike

import (
	"culvert/ike/wire"
)

// exchange is one exchange that we initiate on an IKE SA. It builds its request and takes its response; IDs, retransmission, fragments and caching are the
// window's.
type exchange interface {
	// start builds the request and hands it to ikeSA.ask, at once or after a computation, or calls ikeSA.done if there is nothing to ask any more.
	start(s *ikeSA)
	// response takes the payloads of the response, opened and checked against the rules. It ends with ikeSA.done, at once or after a computation.
	response(s *ikeSA, ps []wire.Payload)
	// abandon says that no response will come, or is wanted. The IKE SA may be gone.
	abandon(s *ikeSA, why string)
	// activity is what the exchange counts for when the peer's request crosses it (RFC 7296, Section 2.25).
	activity() ikeActivity
}

// ruled is an exchange whose response has a rule of its own, in place of its exchange type's: one of
// several rounds.
type ruled interface {
	exchange
	responseRule() payloadRule
}

// work is the exchanges of one IKE SA: the one under way, and those that wait for it.
type work struct {
	current exchange
	queue   []exchange
}

// enqueue lets an exchange be started when its turn comes.
func (s *ikeSA) enqueue(x exchange) {
	s.work.queue = append(s.work.queue, x)
	s.startNext()
}

// startNext starts the next exchange if none is under way. While an IKE SA is set up, only its own exchanges may be.
func (s *ikeSA) startNext() {
	for s.work.current == nil && len(s.work.queue) > 0 && !s.succ.asked && s.state.authenticated() {
		x := s.work.queue[0]
		s.work.queue = s.work.queue[1:]
		s.run(x)
	}
	if len(s.work.queue) > 0 {
		s.hurry()
	}
}

// run starts an exchange at once.
func (s *ikeSA) run(x exchange) {
	s.work.current = x
	x.start(s)
}

// done ends the exchange that is under way.
func (s *ikeSA) done(x exchange) {
	if s.work.current != x {
		return
	}
	s.work.current = nil
	s.e.touch(s.peer)
	s.startNext()
}

// holds says whether x is still the exchange under way: a computation may come back to an SA that has gone on.
func (s *ikeSA) holds(x exchange) bool {
	return s.work.current == x && !s.state.ended()
}

// abandonWork ends all exchanges without their responses.
func (s *ikeSA) abandonWork(why string) {
	queue := s.work.queue
	if s.work.current != nil {
		queue = append([]exchange{s.work.current}, queue...)
	}
	s.work = work{}
	s.win.Withdraw()
	s.e.timers.stop(&s.retransmission)
	for _, x := range queue {
		x.abandon(s, why)
	}
}

// doing is what we are doing with the IKE SA, for the collision rules.
func (s *ikeSA) doing() ikeActivity {
	switch {
	case s.state == saRekeyed:
		return ikeReplaced
	case s.state == saClosing:
		return ikeClosing
	case s.work.current != nil:
		return s.work.current.activity()
	}
	return ikeQuiet
}
