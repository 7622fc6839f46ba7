package ike

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A Hold is the word of an operator that something stays down until it is brought up (Disconnect).
// It is of a peer, a party or a child, and outlives every change of the configuration that leaves
// these.
//
// The calls of a peer that is held down are refused with AUTHENTICATION_FAILED, once it has proved
// who it is: a stranger learns nothing, and no other notify of IKE_AUTH leaves no IKE SA behind
// (RFC 7296, Sections 1.2 and 2.21.2). A Child SA that is held down is refused with
// TS_UNACCEPTABLE: the policy does not allow these selectors now (Section 2.9), and the IKE SA and
// its other Child SAs stay. TEMPORARY_FAILURE would have the peer close the IKE SA after some
// minutes (Section 2.25), and NO_ADDITIONAL_SAS is about all children.
type Hold struct {
	At time.Time
	By string // who gave the command
}

// hold is a Hold with what it is of. An empty Party or Child stands for all.
type hold struct {
	Hold
	name ipsec.PolicyName
	id   identity.ID // of the party
	told bool        // a refused call was reported
}

type holdTable map[ipsec.PolicyName]*hold

// covers reports whether b is a or a part of it.
func covers(a, b ipsec.PolicyName) bool {
	return a.Peer == b.Peer && (a.Party == "" || a.Party == b.Party) && (a.Child == "" || a.Child == b.Child)
}

// on returns what holds a peer, a party or a child down, the widest first, or nil.
func (t holdTable) on(n ipsec.PolicyName) *hold {
	for _, at := range []ipsec.PolicyName{{Peer: n.Peer}, {Peer: n.Peer, Child: n.Child}, {Peer: n.Peer, Party: n.Party}, n} {
		if h := t[at]; h != nil {
			return h
		}
	}
	return nil
}

// prune forgets what is of no child or party of a configured peer any more.
func (t holdTable) prune(cfg *Peer) {
	for n := range t {
		lost := n.Child != "" && childOf(cfg, n.Child) == nil || n.Party != "" && !cfg.Parties
		if n.Peer == cfg.Name && (lost || len(cfg.Children) == 0) {
			delete(t, n)
		}
	}
}

// obey holds a policy down, or releases it, as the table says.
func (e *Engine) obey(pol *child.Policy) {
	held := len(e.holds) > 0 && e.holds.on(pol.Name) != nil
	if held {
		e.choose(pol) // another one may take its traffic
		pol.Hold()
	} else if pol.Held() {
		pol.Release()
	} else {
		return
	}
	if e.policies.byID[pol.ID] != nil {
		e.emit(HoldPolicy{ID: pol.ID, Held: held})
	}
}

// holdDown closes a peer, a party or a child, and holds it down.
func (e *Engine) holdDown(in Disconnect) {
	name, list, err := e.holdable(in.Peer, in.Child)
	if err != nil {
		e.emit(Done{Ref: in.Ref, Err: err})
		return
	}
	first := list[0]
	if e.holds[name] == nil {
		e.holds[name] = &hold{Hold: Hold{At: e.handling.now, By: in.By}, name: name, id: first.key}
		first.notice(Info, "taken-down", in.Child, e.holds[name].text())
	}
	var ended []func() bool
	for _, p := range list {
		ended = append(ended, p.holdDown(e.holds[name]))
	}
	first.waiters.add(&waiter{ref: in.Ref, e: e, met: func() bool {
		return !slices.ContainsFunc(ended, func(f func() bool) bool { return !f() })
	}})
}

// holdable returns what a command names, and the parties that it concerns; of a peer with many, the
// one that exists from the start comes first.
func (e *Engine) holdable(peer, named string) (name ipsec.PolicyName, list []*party, err error) {
	p := e.peers.byName[peer]
	if p != nil {
		list, name.Peer = slices.Collect(p.all()), peer
	} else {
		q, err := e.named(peer)
		if err != nil {
			return name, nil, err
		}
		p, list = q.profile, []*party{q}
		name.Peer, name.Party = p.cfg.Name, q.name
	}
	if name.Child = named; named != "" && childOf(&p.cfg, named) == nil {
		return name, nil, fmt.Errorf("peer %s has no child %s", identity.Quote(peer), identity.Quote(named))
	}
	return name, list, nil
}

// holdDown closes what of the party is held down. The returned function reports whether it has
// ended.
func (p *party) holdDown(h *hold) (ended func() bool) {
	p.e.touch(p)
	down := errors.New("it was taken down by another command")
	var parts []func() bool
	for _, pol := range p.policies {
		if !covers(h.name, pol.Name) {
			continue
		}
		p.e.obey(pol)
		p.waiters.failed(pol, down)
		if h.name.Child != "" {
			parts = append(parts, pol.DeleteAll(h.why()))
		}
	}
	if h.name.Child == "" {
		p.waiters.failedAlone(down)
		parts = append(parts, p.closeAll(h.why()))
	}
	return func() bool { return !slices.ContainsFunc(parts, func(f func() bool) bool { return !f() }) }
}

// release ends the holds of what a command brings up, and of its parts. What is held down with the
// whole that it is part of stays down.
func (e *Engine) release(in Connect) (released bool, err error) {
	name := ipsec.PolicyName{Peer: in.Peer, Child: in.Child}
	if e.peers.byName[in.Peer] == nil {
		name.Peer, name.Party = splitAddress(in.Peer)
	}
	p := e.peers.byName[name.Peer]
	if p == nil || len(e.holds) == 0 {
		return false, nil
	}
	if h := e.holds.on(name); h != nil && h.name != name {
		return false, fmt.Errorf("%s: use up for %s", h.text(), identity.Quote(address(h.name)))
	}
	for n := range e.holds {
		if covers(name, n) {
			delete(e.holds, n)
			released = true
		}
	}
	if !released {
		return false, nil
	}
	p.party.notice(Info, "released", in.Child, "no longer held down: "+address(name))
	for q := range p.all() {
		for _, pol := range q.policies {
			e.obey(pol)
		}
		e.touch(q)
	}
	return true, nil
}

// stillHeld returns an error if one of the policies is held down with that child of all parties.
func (e *Engine) stillHeld(pols []*child.Policy) error {
	for _, pol := range pols {
		if h := e.holds.on(pol.Name); h != nil {
			return fmt.Errorf("%s: use up for %s", h.text(), identity.Quote(address(h.name)))
		}
	}
	return nil
}

// address returns the name by which commands address something.
func address(n ipsec.PolicyName) string {
	s := n.Peer
	if n.Party != "" {
		s += "#" + n.Party
	}
	if n.Child != "" {
		s += "/" + n.Child
	}
	return s
}

// hold returns what holds the whole party down, or nil.
func (p *party) hold() *hold { return p.e.holds.on(ipsec.PolicyName{Peer: p.cfg.Name, Party: p.name}) }

// heldAlone reports whether the party is held down apart from the others. Then it stays, although
// it is not connected.
func (p *party) heldAlone() bool {
	return !p.removed && p.e.holds[ipsec.PolicyName{Peer: p.cfg.Name, Party: p.name}] != nil
}

// heldFrom returns what holds the party of an identity down, or nil.
func (p *profile) heldFrom(id identity.ID) *hold {
	n := ipsec.PolicyName{Peer: p.cfg.Name}
	if p.cfg.Parties {
		n.Party = partyName(id)
	}
	return p.e.holds.on(n)
}

// keepHeld lists the parties of a new profile that are held down.
func (p *profile) keepHeld() {
	var list []*hold
	for n, h := range p.e.holds {
		if n.Peer == p.cfg.Name && n.Party != "" && n.Child == "" {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b *hold) int { return a.At.Compare(b.At) })
	for _, h := range list {
		p.partyOf(h.id)
	}
}

// enforceHolds closes what came up although it is held down: what was under way at that time.
func (p *party) enforceHolds() {
	if len(p.e.holds) == 0 {
		return
	}
	if h := p.hold(); h != nil {
		p.closeAll(h.why())
		return
	}
	for _, pol := range p.policies {
		if h := p.e.holds.on(pol.Name); h != nil {
			pol.DeleteAll(h.why())
		}
	}
}

func (h *hold) why() string { return "taken down by " + identity.Printable(h.By) }

// text describes the hold for people.
func (h *hold) text() string {
	return fmt.Sprintf("%s was taken down by %s at %s", address(h.name), identity.Printable(h.By), h.At.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// until describes the hold as the state of what is down.
func (h *hold) until() string {
	return fmt.Sprintf("down by command of %s since %s, until up", identity.Printable(h.By), h.At.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// shown returns the hold for status; nil if there is none.
func (h *hold) shown() *Hold {
	if h == nil {
		return nil
	}
	return &Hold{h.At, h.By}
}

// refused counts a call that is refused because of the hold, and reports the first one.
func (h *hold) refused(s *ikeSA) {
	s.e.count("ike_refused_down")
	if h.told {
		return
	}
	h.told = true
	n := Notice{Level: Info, Peer: h.name.Peer, Party: h.name.Party, Child: h.name.Child, Event: "call-refused", IKESPI: s.ours()}
	n.Text = identity.Printable(fmt.Sprintf("%s calls, but %s; further calls are only counted", s.net.Remote(), h.text()))
	s.e.emit(n)
}

// refuseCall refuses an initiator that is held down.
func (h *hold) refuseCall(s *ikeSA) error {
	h.refused(s)
	return fatal(wire.AuthenticationFailed, h.text())
}

// refuseHeld refuses a Child SA that is held down.
func (s *ikeSA) refuseHeld(pol *child.Policy) error {
	h := s.e.holds.on(pol.Name)
	h.refused(s)
	return refuse(wire.TSUnacceptable, h.text())
}
