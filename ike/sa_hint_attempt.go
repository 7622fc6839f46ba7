package ike

import (
	"slices"
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

// beginAgain ends an attempt for a reason, such as that its responder seems to have lost it, and
// has another one begin at once.
func (s *ikeSA) beginAgain(why string) {
	p := s.party
	s.abandonWork(why)
	s.remove()
	p.try.prompt, p.replacing.at = true, time.Time{} // it may take the place of another IKE SA
	p.notice(Warn, "connect-failed", "", why+"; another attempt begins at once")
	p.e.touch(p)
}

// saysLost handles the peer's unprotected word that it has lost the IKE SA, or a Child SA of it.
func (s *ikeSA) saysLost() {
	if s.party.elsewhere(s) != nil && s.party.mayBeginAgain() {
		s.party.tryWhere(s)
	}
	s.live.hint(lostCheck)
}

// tryWhere has the peer be tried where an IKE SA reached it, since it is there again. An attempt at
// another of its addresses, which may not answer, makes way.
func (p *party) tryWhere(at *ikeSA) {
	p.try.missed = 0
	if s := p.elsewhere(at); s != nil {
		s.beginAgain("the peer is at " + at.net.Remote().Addr().String() + " again")
	}
	p.startAt(at)
}

// elsewhere returns an attempt that goes to another configured address than an IKE SA, and was not
// answered yet, or nil.
func (p *party) elsewhere(at *ikeSA) *ikeSA {
	there := at.net.Remote().Addr()
	if !slices.Contains(p.cfg.Remote, there) {
		return nil
	}
	i := slices.IndexFunc(p.sas, func(s *ikeSA) bool { return s.state == saConnecting && s.net.Remote().Addr() != there })
	if i < 0 {
		return nil
	}
	return p.sas[i]
}
