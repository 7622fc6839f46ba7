package ike

import (
	"fmt"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
)

// chooseAll chooses the active policy in every group with a policy of the party.
func (p *party) chooseAll() {
	if !p.prioritized() || p.removed || p.e.stopping {
		return
	}
	for _, pol := range p.policies {
		p.e.choose(pol)
	}
}

// choose chooses the active policy of the group of a policy, if it is in one.
func (e *Engine) choose(pol *child.Policy) {
	if g := e.standby.of[pol.ID]; g != nil {
		g.check()
	}
}

// check finds out which members are well, makes the one active that is to be, and has those come up
// that are needed.
func (g *standbyGroup) check() {
	now := g.e.handling.now
	for _, m := range g.members {
		if m.examine(now) {
			g.askTraffic()
			m.prove(proofTime, usualAnswers)
		}
	}
	if next, why := g.best(now); next != g.active {
		g.activate(next, why)
	}
	if g.active.ill != "" {
		g.hurryProbes()
	}
	g.call()
	g.wake(now)
}

// examine finds out whether packets can be sent through the member, and reports whether that is
// new.
func (m *standbyMember) examine(now time.Time) (recovered bool) {
	m.ill = m.illness()
	m.dismissed = m.dismissed && !m.pol.Wanted()
	switch {
	case m.ill != "" && !m.wellSince.IsZero():
		m.failed, m.wellSince = true, time.Time{}
	case m.ill == "" && m.wellSince.IsZero():
		m.wellSince = now
		return true
	}
	return false
}

// ready reports whether the member may take the place of a worse one that is well.
func (m *standbyMember) ready(now time.Time) bool {
	return m.ill == "" && (!m.failed || now.Sub(m.wellSince) >= standbyHold)
}

// best returns the member that is to be active, and why.
func (g *standbyGroup) best(now time.Time) (*standbyMember, string) {
	a := g.active
	well := g.first(func(m *standbyMember) bool { return m.ill == "" })
	switch {
	case well == nil:
		return g.leastBad(), "none works, and it is the first that may come up"
	case a == nil && g.members[0] == well:
		return well, "it is preferred"
	case a == nil:
		return well, "it is the first that works"
	case a.ill != "":
		return well, fmt.Sprintf("%s failed: %s", address(a.pol.Name), a.ill)
	}
	if m := g.first(func(m *standbyMember) bool { return m.ready(now) }); m != nil && g.before(m, a) && m.proven(now, a) {
		return m, "it is preferred, and works"
	}
	return a, ""
}

// leastBad returns the member that is active while none is well: the present one while it has an
// SA, and otherwise one with an SA, or one that can come up, since its packets wait for that.
func (g *standbyGroup) leastBad() *standbyMember {
	up := func(m *standbyMember) bool { return m.pol.Sends() && !m.heldDown() }
	if g.active != nil && up(g.active) {
		return g.active
	}
	for _, may := range []func(*standbyMember) bool{up, (*standbyMember).canComeUp, func(m *standbyMember) bool { return !m.heldDown() }} {
		if m := g.first(may); m != nil {
			return m
		}
	}
	return g.members[0]
}

// first returns the most preferred member that meets a condition, or nil.
func (g *standbyGroup) first(meets func(*standbyMember) bool) *standbyMember {
	if i := slices.IndexFunc(g.members, meets); i >= 0 {
		return g.members[i]
	}
	return nil
}

// activate makes a member the active one. Both are matched for a moment, and the old one wins: a
// packet always finds one of them.
func (g *standbyGroup) activate(next *standbyMember, why string) {
	e, old := g.e, g.active
	g.active = next
	next.since, next.why = e.handling.now, why
	next.verify(old)
	if next.standby {
		next.standby = false
		e.emit(StandbyPolicy{ID: next.pol.ID})
	}
	for _, m := range g.members {
		if m != next && !m.standby {
			m.standby, m.since = true, e.handling.now
			e.emit(StandbyPolicy{ID: m.pol.ID, Standby: true})
		}
	}
	if old == nil {
		return
	}
	e.count("ike_switched")
	level := Info
	if old.ill != "" {
		level = Warn
	}
	text := fmt.Sprintf("packets go through %s now, and no longer through %s: %s", address(next.pol.Name), address(old.pol.Name), why)
	next.party().notice(level, "switched", next.pol.Settings.Name, identity.Printable(text))
}

// dismiss leaves a policy down that a command took down once, until something else wants it or no
// other one of its group works.
func (e *Engine) dismiss(pol *child.Policy) {
	if g := e.standby.of[pol.ID]; g != nil {
		g.member(pol).dismissed = true
	}
}

// call wants those members up that are needed, if a member is: the better ones than the best that
// is well, or if none is, those up to the first that is about to come up.
func (g *standbyGroup) call() {
	works := g.first(func(m *standbyMember) bool { return m.ill == "" }) != nil
	if !g.asked && g.first(func(m *standbyMember) bool { return m.pol.Wanted() || m.pol.Up() }) == nil {
		return
	}
	g.asked = false
	for _, m := range g.members {
		m.dismissed = m.dismissed && works
		if m.dismissed {
			continue
		}
		if m.canComeUp() && !m.pol.Wanted() {
			m.pol.Want()
			g.e.touch(m.party())
		}
		if m.ill == "" || m.comingUp() {
			return
		}
	}
}

// wake sets the timer to the time at which a better member will have been well for long enough.
func (g *standbyGroup) wake(now time.Time) {
	var at time.Time
	for _, m := range g.members {
		if m == g.active {
			break
		}
		if t := m.wellSince.Add(standbyHold); m.ill == "" && t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if at.IsZero() {
		g.e.timers.Stop(&g.timer)
		return
	}
	g.e.timers.Set(&g.timer, at)
}
