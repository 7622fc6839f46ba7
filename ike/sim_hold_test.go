package ike

import (
	"slices"
	"strings"
	"time"
)

// This file has operators of a simulation hold tunnels down and release them, and checks that what
// is held down is down.

// A simDown is a Disconnect of a side's present life that is not released.
type simDown struct {
	side          *testSide
	life          int
	target, child string // as in the command; no child: all
	since, calm   time.Time
	quiet         bool // for simPatience before, nothing had happened that may interrupt traffic
}

// Until these times after a hold its SAs have ended: where nothing else happens, where the link
// works, and in any case.
const (
	simHoldQuiet = 15 * time.Second
	simHoldWorks = simPatience + 3*time.Second
	simHoldMost  = 4 * time.Minute
)

// whole reports whether the hold is of all parties of a peer.
func (h *simDown) whole(e *simEnd) bool { return h.target == e.name.Peer }

func (h *simDown) covers(e *simEnd) bool {
	return h.side == e.side && h.life == e.side.life && (h.whole(e) || h.target == e.target) && (h.child == "" || h.child == e.name.Child)
}

// holdsOn returns what holds an end down, the widest first.
func (s *simulation) holdsOn(e *simEnd) (list []*simDown) {
	for _, h := range s.holds {
		if e.side.e != nil && h.covers(e) {
			list = append(list, h)
		}
	}
	wide := func(h *simDown) int { return 2*btoi(!h.whole(e)) + btoi(h.child != "") }
	slices.SortStableFunc(list, func(a, b *simDown) int { return wide(a) - wide(b) })
	return list
}

// hold takes a child down until it is released, or its peer, or all parties of that.
func (s *simulation) hold(e *simEnd) {
	h := &simDown{side: e.side, life: e.side.life, target: e.target, child: e.name.Child, since: s.p.now}
	if s.chance(0.3) {
		h.target = e.name.Peer
	}
	if s.chance(0.5) {
		h.child = ""
	}
	h.quiet = s.works() && s.p.now.Sub(s.calmSince) > simPatience
	s.upset()
	h.calm = s.calmSince
	ref := e.side.ref()
	if s.holds = append(s.holds, h); s.absent(h) {
		s.holds = s.holds[:len(s.holds)-1]
	}
	for _, tu := range s.tunnels {
		if o := tu.at(e.side); h.covers(o) {
			o.down, o.asked = true, 0
		}
	}
	e.side.handle(Disconnect{Peer: h.target, Child: h.child, By: "root", Ref: ref})
}

// absent reports whether a hold would be of a party that is not there, which no command can name.
func (s *simulation) absent(h *simDown) bool {
	_, err := h.side.e.named(h.target)
	return h.side.e.peers.byName[h.target] == nil && err != nil
}

// holdOrRelease has an operator hold something down, or release it.
func (s *simulation) holdOrRelease(e *simEnd) {
	if len(s.holdsOn(e)) > 0 {
		s.release(e)
	} else {
		s.hold(e)
	}
}

// release ends whatever holds an end down.
func (s *simulation) release(e *simEnd) {
	for list := s.holdsOn(e); len(list) > 0; list = s.holdsOn(e) {
		s.lift(list[0])
	}
}

// lift releases what one Disconnect, and others of parts of that, hold down.
func (s *simulation) lift(h *simDown) {
	ref := h.side.ref()
	s.upset()
	for _, tu := range s.tunnels {
		if e := tu.at(h.side); h.covers(e) {
			e.asked, e.life = ref, h.life
		}
	}
	s.holds = slices.DeleteFunc(s.holds, func(o *simDown) bool { return o == h || h.includes(o) })
	for _, tu := range s.tunnels {
		if e := tu.at(h.side); h.covers(e) && len(s.holdsOn(e)) == 0 {
			e.down = false
		}
	}
	h.side.handle(Connect{Peer: h.target, Child: h.child, Ref: ref})
}

// includes reports whether another hold is of a part of what this one is of.
func (h *simDown) includes(o *simDown) bool {
	peer, _ := splitAddress(o.target)
	return h.side == o.side && (h.target == o.target || h.target == peer) && (h.child == "" || h.child == o.child)
}

// upOfHeld handles a Connect of what is held down, and reports whether it is. What is held down
// with the whole that it is part of must stay down.
func (s *simulation) upOfHeld(e *simEnd) bool {
	list := s.holdsOn(e)
	if len(list) == 0 {
		return false
	}
	if list[0].target == e.target && list[0].child == e.name.Child {
		s.lift(list[0])
		return true
	}
	ref := e.side.ref()
	e.side.handle(Connect{Peer: e.target, Child: e.name.Child, Ref: ref})
	if err := e.side.done[ref]; err == nil || !strings.Contains(err.Error(), "was taken down by root at ") {
		s.p.violated("%s brings up a part of what is held down: %v", e.side.name, err)
	}
	return true
}

// wantHeld checks that what a side holds down sends nothing, and has ended.
func (s *simulation) wantHeld(of *testSide) {
	if len(s.holds) == 0 {
		return
	}
	for _, tu := range s.tunnels {
		e := tu.at(of)
		list := s.holdsOn(e)
		if len(list) == 0 || of.e.policies.byID[e.policy()] == nil { // a reload has planned it only
			continue
		}
		id, over := e.policy(), slices.ContainsFunc(list, s.ended)
		switch {
		case !of.plane.held[id]:
			s.p.violated("%s does not drop packets of %s, which is held down", of.name, e.name.Child)
		case of.plane.sender(id, 1) != nil:
			s.p.violated("%s sends on %s, which is held down", of.name, e.name.Child)
		case over && len(e.sas()) > 0:
			s.p.violated("%s still has %d SAs of %s, which is held down", of.name, len(e.sas()), e.name.Child)
		case over && s.works() && len(tu.at(of.other()).sas()) > 0:
			s.p.violated("%s still has SAs of %s, which %s holds down", of.other().name, e.name.Child, of.name)
		}
	}
}

// ended reports whether the SAs of a hold must have ended.
func (s *simulation) ended(h *simDown) bool {
	now := s.p.now
	switch {
	case h.quiet && h.calm.Equal(s.calmSince) && s.works() && now.Sub(h.since) > simHoldQuiet:
		return true
	case s.works() && now.Sub(later(h.since, s.calmSince)) > simHoldWorks:
		return true
	}
	return now.Sub(h.since) > simHoldMost
}

// wantShut checks that no packet passes on a tunnel that a side has held down for a while.
func (s *simulation) wantShut(tu *simTunnel) {
	for i := range tu.ends {
		if slices.ContainsFunc(s.holdsOn(&tu.ends[i]), s.ended) {
			s.p.violated("a packet passes on %s, which %s holds down", tu.ends[i].name.Child, tu.ends[i].side.name)
		}
	}
}
