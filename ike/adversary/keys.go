package adversary

import (
	"culvert/ike/suite"
	"culvert/ike/wire"
)

// derive makes the keys of an IKE SA from the chosen proposal and the other side's public value, as
// its predecessor's successor if it has one. It reports whether it could.
func (p *Peer) derive(s *SA, chosen wire.Proposal, public []byte) bool {
	chosen.SPI = nil
	made, err := suite.NewIKESuite(chosen)
	if err != nil {
		return false
	}
	shared, err := s.ke.Shared(public)
	if err != nil {
		return false
	}
	schedule := made.Schedule(s.ni, s.nr, s.SPIi, s.SPIr)
	if old := s.Predecessor; old != nil {
		schedule.Rekey(old.suite.Prf(), old.keys.D, shared)
	} else {
		schedule.Init(shared)
	}
	keys := schedule.Keys()
	initiator, responder, err := directions(chosen, keys)
	if err != nil {
		return false
	}
	s.suite, s.keys = made, keys
	s.out, s.in = responder, initiator
	if s.Initiator {
		s.out, s.in = initiator, responder
	}
	return true
}

// addChild makes the keys of a Child SA. The peer's part of the exchange that made it is told by
// asked.
func (s *SA) addChild(c *Child, chosen wire.Proposal, asked bool, shared, ni, nr []byte) bool {
	esp, err := suite.NewESPSuite(chosen)
	if err != nil {
		return false
	}
	ours, theirs := esp.ChildKeys(s.suite.Prf(), s.keys.D, shared, ni, nr)
	if !asked {
		ours, theirs = theirs, ours
	}
	c.KeyOut, c.KeyIn = ours, theirs
	s.Children = append(s.Children, c)
	return true
}
