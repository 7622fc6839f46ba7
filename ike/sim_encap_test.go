package ike

import (
	"slices"
	"time"

	"culvert/internal/ipsec"
)

// Of a life there are times in which firewalls eat what one transport carries, or its ESP alone, in
// one direction or both: the NAT port, or protocol 50. Packets pass the other way then. With an
// older culvert, as with any stranger, only protocol 50 is eaten, and nothing passes. Where UDP is
// configured, the NAT port is not eaten.

// simEats is what a firewall eats.
type simEats struct {
	via  *ipsec.Transport // nil: nothing
	esp  bool             // its ESP alone
	from *testSide        // what this side sends; nil: both
}

func (f simEats) fits(pk *testPacket) bool {
	return pk.via == f.via && (!f.esp || pk.esp != nil) && (f.from == nil || pk.from == f.from)
}

// eatSome draws what is eaten, seldom anything.
func (s *simulation) eatSome() {
	var f simEats
	if s.group == nil && s.chance(0.3) && s.p.left.nat == nil && s.p.right.nat == nil {
		f.via = []*ipsec.Transport{ipsec.NAT, ipsec.Raw}[s.rand.IntN(2)]
		f.esp = s.chance(0.3)
		f.from = []*testSide{nil, nil, s.p.left, s.p.right}[s.rand.IntN(4)]
		if s.olderSide() || s.alwaysUDP() {
			f.via = ipsec.Raw
		}
	}
	s.eat(f)
}

func (s *simulation) olderSide() bool { return s.p.left.older || s.p.right.older }

func (s *simulation) eat(f simEats) {
	if f == s.link.eats {
		return
	}
	if s.link.eats = f; f.via != nil {
		from := "both"
		if f.from != nil {
			from = f.from.name
		}
		s.p.note("--- the link eats what goes by %s from %s, ESP alone: %v", f.via.Name, from, f.esp)
	} else {
		s.p.note("--- the link eats nothing")
	}
	s.upset()
}

// starves reports whether packets cannot pass by any other way than the one that is eaten.
func (s *simulation) starves() bool { return s.link.eats.via != nil && s.olderSide() }

func (s *simulation) alwaysUDP() bool {
	return slices.ContainsFunc(s.p.sides(), func(side *testSide) bool {
		return slices.ContainsFunc(side.peers, func(p Peer) bool { return p.Encap == EncapAlways })
	})
}

// simUnheard is how long packets are sent until the dataplane says that none come.
const simUnheard = 8 * time.Second

// reportUnheard has the dataplane of an end say that none come.
func (s *simulation) reportUnheard(e *simEnd) {
	for _, psa := range e.sas() {
		if psa.sends && !psa.unheard.IsZero() && s.p.now.Sub(psa.unheard) >= simUnheard {
			psa.unheard = time.Time{}
			e.side.later(Unheard{ID: psa.sa.ID})
		}
	}
}
