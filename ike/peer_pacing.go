package ike

import (
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/pacing"
	"culvert/ike/timer"
)

// answerTime is how long a request of an attempt to connect may be without an answer before the
// attempt no longer counts among those under way: that of the first retransmission by default.
const answerTime = time.Second

// An attempt is the share of an IKE SA that we begin in the attempts that may be under way, until
// it is established.
type attempt struct {
	*pacing.Place
	late timer.Timer
}

// urgency returns who waits for the policies that are due.
func (p *party) urgency(due []*child.Policy) pacing.Urgency {
	if p.waiters.waitAlone() || slices.ContainsFunc(due, func(pol *child.Policy) bool { return pol.Flow() != nil || p.waiters.waitFor(pol) }) {
		return pacing.Awaited
	}
	return pacing.Unattended
}

// mayConnect reports whether an attempt for the policies may begin now. If not, the party is
// touched when its turn has come.
func (p *party) mayConnect(due []*child.Policy) bool {
	return !p.canConnect() || p.e.pace.Ask(&p.turn, p.nextRemote(), p.urgency(due))
}

// nextRemote returns the address that the next attempt goes to.
func (p *party) nextRemote() netip.Addr { return p.cfg.Remote[p.try.addr%len(p.cfg.Remote)] }

// beginAttempt counts the IKE SA among the attempts under way.
func (s *ikeSA) beginAttempt(remote netip.Addr) *attempt {
	a := &attempt{Place: s.e.pace.Begin(&s.party.turn, remote)}
	a.late.Fire = func() {
		if s.setup != nil && !s.setup.init.computing {
			a.Unanswered()
		}
	}
	return a
}

// awaitInTime limits how long the attempt counts without an answer to the request that is sent.
func (s *ikeSA) awaitInTime() {
	if s.setup != nil && s.setup.attempt != nil && s.setup.attempt.Held() {
		s.e.after(&s.setup.attempt.late, answerTime)
	}
}

// attemptAgain asks once more what was not answered in time, if there is a place for the attempt:
// once for each repetition, as askHeard.
func (s *ikeSA) attemptAgain(remote netip.Addr) {
	if a := s.setup.attempt; !a.Held() && s.mayAskHeard() {
		if again := s.e.pace.BeginAgain(remote); again != nil {
			a.Place = again
			s.askHeard()
			s.awaitInTime()
		}
	}
}

// endAttempt gives the share of the attempt back.
func (s *ikeSA) endAttempt(established bool) {
	if s.setup != nil && s.setup.attempt != nil {
		s.e.timers.Stop(&s.setup.attempt.late)
		s.setup.attempt.End(established)
	}
}
