package ike

import (
	"time"

	"culvert/internal/ipsec"
)

// Of a life there are times in which firewalls eat what one transport carries: the NAT port, or
// protocol 50. Packets pass the other way then. With an older culvert, as with any stranger, only
// protocol 50 is eaten, and that UDP is used then may take until a rekeying.

// eatSome draws what is eaten, seldom anything.
func (s *simulation) eatSome() {
	var via *ipsec.Transport
	if s.group == nil && s.chance(0.3) && s.p.left.nat == nil && s.p.right.nat == nil {
		via = []*ipsec.Transport{ipsec.NAT, ipsec.Raw}[s.rand.IntN(2)]
		if s.olderSide() {
			via = ipsec.Raw
		}
	}
	s.eat(via)
}

func (s *simulation) olderSide() bool { return s.p.left.older || s.p.right.older }

func (s *simulation) eat(via *ipsec.Transport) {
	if via == s.link.eats {
		return
	}
	if s.link.eats = via; via != nil {
		s.p.note("--- the link eats what goes by %s", via.Name)
	} else {
		s.p.note("--- the link eats nothing")
	}
	s.upset()
}

// starves reports whether packets cannot pass by any other way than the one that is eaten.
func (s *simulation) starves() bool {
	if s.link.eats == nil || s.olderSide() {
		return s.link.eats != nil
	}
	for _, side := range s.p.sides() {
		for i := range side.peers {
			if p := &side.peers[i]; p.Encap == EncapAlways && s.link.eats == ipsec.NAT {
				return true
			}
		}
	}
	return false
}

// simUnheard is how long packets are sent until the dataplane says that none come.
const simUnheard = 8 * time.Second

// reportUnheard has the dataplane of an end say that none come.
func (s *simulation) reportUnheard(e *simEnd) {
	for _, psa := range e.sas() {
		if psa.sends && !psa.unheard.IsZero() && s.p.now.Sub(psa.unheard) >= simUnheard {
			psa.unheard = time.Time{}
			e.side.later(Unheard{ID: psa.sa.ID, Never: psa.lastIn.IsZero()})
		}
	}
}
