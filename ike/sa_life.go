package ike

import (
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
)

// life holds the times and lifetime timers of an IKE SA.
type life struct {
	sa                *ikeSA
	born, established time.Time
	since             time.Time // establishment of the first IKE SA that this one replaces by rekeying
	line              line
	rekeyAt           time.Time
	rekey, hard       timer.Timer // hard also ends a dead IKE SA
	tries             int         // consecutive refusals of our rekeying
	refs              []uint64
	closed            child.Cause // why it is being deleted
}

// A line is a succession of IKE SAs that replace one another, by rekeying or by a new IKE_SA_INIT:
// when the first of them was begun, and when it was established.
type line struct{ begun, since time.Time }

// rekeyedLife is how long a rekeyed IKE SA waits for the peer's Delete.
const rekeyedLife = 90 * time.Second

// schedule sets the IKE SA's lifetimes, as Child SAs have them.
func (l *life) schedule() {
	s := l.sa
	lasts := s.party.cfg.Lifetime
	if lasts <= 0 {
		return
	}
	soft := child.RekeyMargin(lasts, s.initiator, s.e.cfg.Rand)
	l.rekeyAt = s.e.handling.now.Add(soft)
	s.e.after(&l.rekey, soft)
	s.e.after(&l.hard, lasts+lasts/10)
}

// presses reports whether the hard end of the lifetime comes soon after another pause of a rekeying
// that is refused for now, and another IKE SA can be made before.
func (l *life) presses() bool {
	return l.sa.party.canConnect() && l.hard.Presses(l.rekeyAt, l.sa.e.handling.now.Add(timer.MostTemporaryWait))
}

// over is called at the hard end of a lifetime, and when a dead IKE SA is to be forgotten.
func (l *life) over() {
	s := l.sa
	switch s.state {
	case saDead:
		s.remove()
	case saEstablished:
		if !s.succ.acceptPeers() {
			s.closeAs(child.EndExpired, "its lifetime has expired")
		}
	}
}

// resume undoes the end of the lifetime where a rekeying that was under way succeeds after it. The
// Delete has waited for that, and nothing of it was sent: the peer has handed over to the
// successor, or is about to.
func (l *life) resume() {
	s := l.sa
	if s.state != saClosing || l.closed != child.EndExpired {
		return
	}
	isDelete := func(x exchange) bool { q, ok := x.(*informational); return ok && q.kind == askClose }
	if !s.work.Awaits(isDelete) {
		return
	}
	s.work.Add(slices.DeleteFunc(s.work.TakeWaiting(), isDelete)...)
	s.moveTo(saEstablished)
}

// due is called when the IKE SA is due for a rekeying, or, after one, for its end.
func (l *life) due() {
	s := l.sa
	if s.state == saRekeyed && s.succ.fate == fateRedundant {
		s.end(child.EndReplaced, "redundant: both sides rekeyed at the same time")
		return
	}
	if s.state == saRekeyed {
		s.closeAs(child.EndReplaced, "rekeyed, but the peer did not delete it")
		return
	}
	if s.usable() && s.succ.ours == nil && s.succ.theirs == nil {
		s.succ.ours = &rekeyExchange{}
		s.enqueue(s.succ.ours)
	}
}
