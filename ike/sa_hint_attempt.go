package ike

import (
	"time"

	"culvert/ike/liveness"
)

// lostWhileAuthenticating treats an unprotected INVALID_IKE_SPI in response to our IKE_AUTH as a
// hint that the responder was restarted since IKE_SA_INIT. If no other response comes within
// hintedCheck, another attempt begins at once. A peer that takes long to authenticate us has more
// time in that one, since further hints within liveness.HintInterval count for nothing.
func (s *ikeSA) lostWhileAuthenticating() {
	if s.win.Outstanding() == nil || !s.party.mayBeginAgain() {
		return
	}
	s.setup.lost = true
	s.win.Outstanding().Repeated = 0
	s.awaitAnswer()
}

// mayBeginAgain reports whether an attempt may end so that another one begins at once, and counts
// it: once in liveness.HintInterval.
func (p *party) mayBeginAgain() bool {
	t, now := &p.try, p.e.handling.now
	if !t.again.IsZero() && now.Sub(t.again) < liveness.HintInterval {
		return false
	}
	t.again = now
	return true
}

// beginAgain ends an attempt whose responder seems to have lost it, and has another one begin at
// once.
func (s *ikeSA) beginAgain() {
	p, why := s.party, s.setup.refusal.Reason
	s.abandonWork(why)
	s.remove()
	p.try.prompt, p.replacing.at = true, time.Time{} // it may take the place of another IKE SA
	p.notice(Warn, "connect-failed", "", why+"; another attempt begins at once")
	p.e.touch(p)
}
