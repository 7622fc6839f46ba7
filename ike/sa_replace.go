package ike

import (
	"fmt"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
	"culvert/ike/wire"
)

// An IKE SA with a peer that refuses rekeyings for good works for one lifetime of its Child SAs and
// no longer. A minimal peer refuses every CREATE_CHILD_SA, and then a new SA must be made (RFC
// 7296, Section 4); a peer that is set up for another kind of PFS finds nothing wrong in IKE_AUTH,
// which has no key exchange. What still works is what worked at first, so a new IKE SA takes the
// place of the old one before that ends, as at a reauthentication (Section 2.8.3):
//
//	the old IKE SA                             the new IKE SA
//	CREATE_CHILD_SA  -->
//	                 <--  N(the refusal)
//	                                           IKE_SA_INIT, IKE_AUTH  <-->
//	                                           traffic moves to its Child SAs
//	INFORMATIONAL {D}  -->

// replacement is the state of the replacements of a party's IKE SAs.
type replacement struct {
	timer timer.Timer
	at    time.Time // not before
}

// replacePause is the least time between two replacements. It keeps two peers that refuse
// everything from making IKE SAs without end. After a failure the back-off of the party's attempts
// holds as well.
const replacePause = 5 * time.Second

// patience is for how many repetitions of a rekeying, by the plan that is configured, an answer is
// waited for before a new IKE SA is tried beside the old one.
const patience = 3

// ignored reports whether the outstanding request has waited for longer than that. What counts is
// the time: to a peer that may be dead a request is repeated as often within a second, and an
// outage of a second must not cost the IKE SA.
func (l *livenessCheck) ignored() bool {
	return l.sa.win.Outstanding() != nil && l.sa.e.handling.now.Sub(l.asked) >= l.sa.configuredPlan().Until(patience)
}

// wontLive records that the IKE SA cannot be kept, and has a new one take its place.
func (c *succession) wontLive(why string) {
	if c.sa.state != saEstablished || c.outlook != outlookGood {
		return
	}
	c.outlook, c.why = outlookDying, why
	text := why + "; a new IKE SA takes its place"
	if len(c.sa.party.cfg.Remote) == 0 {
		text = why + "; the peer must connect again, as no remote address is configured to connect to"
	}
	c.sa.notice(Warn, "rekey-refused", text)
	c.sa.e.touch(c.sa.party)
}

// outOfSync ends an IKE SA on which the peer refuses for now, and for minutes: the two sides
// disagree about which SAs exist. If it carries packets and we can connect, a new one takes its
// place first.
func (c *succession) outOfSync(why string) {
	if len(c.sa.party.cfg.Remote) == 0 || len(c.sa.children.Pairs()) == 0 {
		c.sa.close("the peer keeps refusing: the two sides disagree about which SAs exist")
		return
	}
	c.wontLive(why)
}

// replaceDying starts an attempt to connect in place of an IKE SA that cannot be kept.
func (p *party) replaceDying() {
	old := p.dying()
	if old == nil || p.trying() || len(p.cfg.Remote) == 0 {
		return
	}
	now, r := p.e.handling.now, &p.replacing
	if at := later(r.at, p.try.At); now.Before(at) {
		p.e.timers.Set(&r.timer, at)
		return
	}
	r.at = now.Add(replacePause)
	p.e.timers.Set(&r.timer, r.at)
	p.connect(nil, old)
}

// cannotCarry handles the refusal of a new Child SA, and reports whether the policy is to wait for
// another IKE SA. If this one carries none, it has served its purpose: what the peer accepts in
// IKE_AUTH it accepts on a new IKE SA only. Where IKE_AUTH was refused as well, and by the same
// error, a new IKE SA is likely to be as empty. By another error, the peer no longer objects to
// what it refused there, such as a child that was taken down.
func (c *succession) cannotCarry(kind wire.NotifyType) bool {
	a := &c.sa.auth
	if a.bare {
		return c.bareCannotCarry(kind)
	}
	if len(c.sa.children.Pairs()) > 0 || a.childless && (a.refusal == 0 || a.refusal == kind) {
		return false
	}
	c.wontLive(fmt.Sprintf("the peer answered %v to CREATE_CHILD_SA, and the IKE SA has no Child SA", kind))
	return c.barren()
}

// barren reports whether the IKE SA carries nothing, and an attempt of ours is to take its place:
// what is wanted comes up there.
func (c *succession) barren() bool { return c.fruitless() && c.fate != fateSettled }

// fruitless reports whether the IKE SA carries nothing, and cannot be kept.
func (c *succession) fruitless() bool {
	return c.outlook == outlookDying && len(c.sa.children.Pairs()) == 0 && c.sa.party.canConnect()
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// dying returns an IKE SA that cannot be kept, that a policy needs and that nothing replaces yet,
// or nil.
func (p *party) dying() *ikeSA {
	i := slices.IndexFunc(p.sas, func(s *ikeSA) bool {
		return s.usable() && s.succ.outlook != outlookGood && s.succ.fate != fateSettled && !s.needless() && p.firstPolicy(s) != nil
	})
	if i < 0 {
		return nil
	}
	return p.sas[i]
}

// inPlaceOf returns the IKE SA in whose place this one was made, if it still stands, or nil. One
// that ended before it could take the place of yet another one leaves that to this one.
func (c *succession) inPlaceOf() *ikeSA {
	if c.replaces == nil {
		return nil
	}
	old := c.replaces.succ.latest()
	if old.usable() {
		return old
	}
	return old.succ.inPlaceOf()
}

// expiredBefore returns the IKE SA in whose place this one was made, if it has expired meanwhile
// and is being deleted, or nil. That takes long where the peer does not answer.
func (c *succession) expiredBefore() *ikeSA {
	if c.replaces == nil {
		return nil
	}
	if old := c.replaces.succ.latest(); old.state == saClosing && old.life.closed == child.EndExpired {
		return old
	}
	return nil
}

// closesByItself reports whether the IKE SA is being deleted, and not because people want it down,
// or they want it up again by now: packets are to pass, and others carry them only when it has
// ended.
func (s *ikeSA) closesByItself() bool {
	if s.state != saClosing {
		return false
	}
	pol := s.oneServed()
	return s.life.closed != child.EndLocal || pol != nil && pol.Wanted()
}

// hintAtEnd hastens the attempt to make another IKE SA in place of one that is being deleted. Its
// Child SAs carry packets until the Delete is answered, which a request before it may hold up. One
// that people did not close ends if that is not answered for a short while. The others with the
// same peer are checked as well: one that has lost it by a restart has lost all. Of one that was
// rekeyed the successor is checked.
func (l *livenessCheck) hintAtEnd(within time.Duration) {
	s := l.sa
	if s.state == saRekeyed && s.succ.successor != nil {
		s.succ.latest().live.hint(hintedCheck)
		return
	}
	if s.state != saClosing || !l.Hinted(s.e.handling.now) {
		return
	}
	s.e.count("ike_liveness_hints")
	l.doubt = within
	if s.win.Outstanding() != nil && s.closesByItself() {
		s.askAgain()
	}
	s.party.hurry()
	l.hintOthers()
}

// oneServed returns a policy whose Child SA the IKE SA carries, or else one that should be up and
// waits for an exchange on it, or nil.
func (s *ikeSA) oneServed() (pol *child.Policy) {
	for _, q := range s.children.Pairs() {
		if q == s.children.Of(q.Policy()) {
			return q.Policy()
		}
	}
	waits := func(x exchange) bool {
		if c, ok := x.(*childExchange); ok && c.policy.Wanted() {
			pol = c.policy
		}
		return pol != nil
	}
	if !waits(s.work.Current()) {
		s.work.Awaits(waits)
	}
	return pol
}
