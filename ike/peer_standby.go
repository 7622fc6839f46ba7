package ike

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// The policies with the same networks, of peers with a Priority, are a group. All may be up, and
// what comes on the SAs of any is accepted; packets are sent through one, the active policy:
//
//	the active one falls ill  -->  the best one that is well, at once
//	none is well              -->  it stays, or if it has no SA, the best that may come up: its
//	                               packets wait, and nothing is sent outside of a tunnel
//	a better one is well      -->  it, at once the first time, later after standbyHold
//
// The SPD changes by one effect after the SA that is sent on next is there, so that no packet is
// lost between them.

// standbyHold is how long a policy that has failed must be well before it is active again.
const standbyHold = 10 * time.Second

// A standbyTable holds the groups.
type standbyTable struct {
	of    map[ipsec.PolicyID]*standbyGroup
	byKey map[string]*standbyGroup
}

func newStandbyTable() standbyTable {
	return standbyTable{of: map[ipsec.PolicyID]*standbyGroup{}, byKey: map[string]*standbyGroup{}}
}

// A standbyGroup is the policies with the same networks.
type standbyGroup struct {
	e       *Engine
	key     string
	members []*standbyMember // the most preferred first
	active  *standbyMember
	asked   bool // a packet waits for an SA of the group
	timer   timer.Timer
}

// A standbyMember is one policy of a group.
type standbyMember struct {
	group     *standbyGroup
	pol       *child.Policy
	data      dataHealth
	ill       string    // why packets should not be sent through it; empty: it is well
	wellSince time.Time // zero: it is ill
	failed    bool      // it was well once, and then ill
	dismissed bool      // a command took it down once: it waits while another one works
	standby   bool      // as the SPD has it
	since     time.Time // of its role
	why       string    // it was made active
}

// A Role is what a child is among those with the same networks.
type Role struct {
	Active bool
	Since  time.Time
	Why    string // it is active, or is not
}

// prioritized reports whether the policies of the party are each one of a group.
func (p *party) prioritized() bool { return p.cfg.Priority > 0 && !p.cfg.Parties }

// networksKey returns a text that is the same for policies with the same networks.
func networksKey(pol *child.Policy) string {
	text := func(list []selector.Selector) string {
		var out []string
		for _, s := range list {
			out = append(out, s.String())
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	return text(pol.Settings.Local) + "|" + text(pol.Settings.Remote)
}

// join makes a policy of the SPD a member of its group, if it is to be one.
func (e *Engine) join(pol *child.Policy) {
	if !ownerOf(pol).prioritized() {
		return
	}
	key := networksKey(pol)
	g := e.standby.byKey[key]
	if g == nil {
		g = &standbyGroup{e: e, key: key}
		g.timer.Fire = g.check
		e.standby.byKey[key] = g
	}
	e.standby.of[pol.ID] = g
	m := &standbyMember{group: g, pol: pol, standby: true, since: e.handling.now}
	m.data.timer.Fire = m.watchData
	g.members = append(g.members, m)
	g.sort()
	e.touch(ownerOf(pol))
}

// leave takes a policy out of its group.
func (e *Engine) leave(pol *child.Policy) {
	g := e.standby.of[pol.ID]
	if g == nil {
		return
	}
	delete(e.standby.of, pol.ID)
	m := g.member(pol)
	m.endCopies()
	e.timers.Stop(&m.data.timer)
	g.members = slices.DeleteFunc(g.members, func(m *standbyMember) bool { return m.pol == pol })
	if g.active != nil && g.active.pol == pol {
		g.active = nil
	}
	if len(g.members) == 0 {
		e.timers.Stop(&g.timer)
		delete(e.standby.byKey, g.key)
		return
	}
	e.touch(ownerOf(g.members[0].pol))
}

func (m *standbyMember) party() *party { return ownerOf(m.pol) }

// ownerOf returns the party that a policy belongs to.
func ownerOf(pol *child.Policy) *party { return pol.Owner().(*party) }

// sort puts the members in order.
func (g *standbyGroup) sort() {
	slices.SortStableFunc(g.members, func(a, b *standbyMember) int {
		return cmp.Compare(a.party().cfg.Priority, b.party().cfg.Priority)
	})
}

// regroup follows a change of the peer's Priority.
func (p *profile) regroup() {
	for _, pol := range p.party.policies {
		g, wanted := p.e.standby.of[pol.ID], p.party.prioritized()
		switch {
		case g == nil && wanted:
			p.e.emit(StandbyPolicy{ID: pol.ID, Standby: true})
			p.e.join(pol)
		case g != nil && !wanted:
			if g.member(pol).standby {
				p.e.emit(StandbyPolicy{ID: pol.ID})
			}
			p.e.leave(pol)
		case g != nil:
			g.sort()
		}
	}
}

// roleOf returns the role of a policy among those with the same networks; nil if it is the only
// one.
func roleOf(pol *child.Policy) *Role {
	g := ownerOf(pol).e.standby.of[pol.ID]
	if g == nil || len(g.members) < 2 {
		return nil
	}
	m := g.member(pol)
	r := &Role{Active: m == g.active, Since: m.since, Why: m.why}
	switch {
	case r.Active:
	case m.ill != "":
		r.Why = m.ill
	case g.active != nil && g.before(m, g.active):
		r.Why = "it must work for " + standbyHold.String() + " first"
	default:
		r.Why = "another one is preferred"
	}
	return r
}

func (g *standbyGroup) member(pol *child.Policy) *standbyMember {
	return g.members[slices.IndexFunc(g.members, func(m *standbyMember) bool { return m.pol == pol })]
}

// left reports whether another policy than one that a packet asked for is active by now.
func (g *standbyGroup) left(pol *child.Policy) bool {
	return g != nil && g.active != nil && g.active.pol != pol
}

// before reports whether a is preferred to b.
func (g *standbyGroup) before(a, b *standbyMember) bool {
	return slices.Index(g.members, a) < slices.Index(g.members, b)
}
