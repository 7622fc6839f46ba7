package ike

import (
	"maps"
	"slices"
	"time"

	"culvert/internal/ipsec"
)

// This file is the part of the model of a dataplane that looks for silences.

// The numbers of the dataplane.
const (
	planeLookEvery    = 500 * time.Millisecond
	planeUsualLooks   = 3
	planeSilentLooks  = 3
	planeUnheardLooks = 16
)

// planeLooks is what the looks in one life of a side have shown.
type planeLooks struct {
	life       int
	at         time.Time // of the last
	of         map[ipsec.PolicyID]*planeSilence
	heard, out map[ipsec.ChildID]uint64 // up to then
}

// planeSilence is the dataplane's silence.
type planeSilence struct{ answered, unanswered, unheard int }

// look is lookForSilence of the dataplane, if it is time for that. It reports the newest pair of a
// policy that may be sent on.
func (g *testGroup) look(s *testSide) {
	l := g.looks[s]
	if l == nil || l.life != s.life {
		l = &planeLooks{life: s.life, at: g.now, of: map[ipsec.PolicyID]*planeSilence{}, heard: map[ipsec.ChildID]uint64{}, out: map[ipsec.ChildID]uint64{}}
		g.looks[s] = l
	}
	if s.e == nil || g.now.Sub(l.at) < planeLookEvery {
		return
	}
	l.at = g.now
	use := map[ipsec.PolicyID]*planeSA{}
	ins, outs := map[ipsec.PolicyID]bool{}, map[ipsec.PolicyID]bool{}
	for id, psa := range s.plane.sas {
		of := psa.sa.Policy
		if psa.sends && (use[of] == nil || use[of].sa.ID < id) {
			use[of] = psa
		}
		ins[of] = ins[of] || psa.heard != l.heard[id]
		outs[of] = outs[of] || psa.sent != l.out[id]
		l.heard[id], l.out[id] = psa.heard, psa.sent
	}
	for _, of := range slices.Sorted(maps.Keys(use)) {
		if l.of[of] == nil {
			l.of[of] = &planeSilence{}
		}
		silent, unheard := l.of[of].look(ins[of], outs[of])
		if silent {
			s.handle(Hint{ID: use[of].sa.ID})
		}
		if unheard {
			s.handle(Unheard{ID: use[of].sa.ID})
		}
	}
}

// look is that of the dataplane.
func (s *planeSilence) look(in, out bool) (silent, unheard bool) {
	switch {
	case in:
		s.answered, s.unanswered, s.unheard = min(s.answered+1, planeUsualLooks), 0, 0
	case out:
		s.unanswered, s.unheard = s.unanswered+1, s.unheard+1
	}
	if unheard = s.unheard == planeUnheardLooks; unheard {
		s.unheard = 0
	}
	if silent = s.unanswered >= planeSilentLooks && s.answered == planeUsualLooks; silent {
		s.answered, s.unanswered = 0, 0
	}
	return silent, unheard
}

// sendUnasked sends what the hosts of this side send on their own, on every policy with an SA.
func (pl *testPlane) sendUnasked() {
	for _, policy := range slices.Sorted(maps.Keys(pl.spd)) {
		if psa := pl.sender(policy, 1); psa != nil {
			pl.s.p.unasked = true
			pl.sendOn(psa)
			pl.s.p.unasked = false
		}
	}
}
