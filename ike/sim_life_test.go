package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// This file makes up the random configurations and troubles of a simulation.

// configure draws both sides' configurations.
func (s *simulation) configure(p *testPair) {
	p.link = s.fate
	p.compute = func() time.Duration { return s.between(0, 20*time.Millisecond) }
	s.link.delay, s.link.jitter = s.between(time.Millisecond, 80*time.Millisecond), s.between(0, 200*time.Millisecond)
	s.children = 1 + s.rand.IntN(3)
	left, right := &p.left.peers[0], &p.right.peers[0]
	s.configureIKE(left, right)
	left.Children, right.Children = nil, nil
	for n := range s.children {
		s.addChild(p, n)
	}
	s.what = "rough"
	if s.calm {
		s.what = "calm"
		s.link.dup = 0.05
	}
	if s.chance(0.3) {
		p.left.nat = newNAT(netip.MustParseAddr("198.51.100.1"))
		right.Remote = nil
		left.Encap, right.Encap = EncapAuto, EncapAuto
		s.what += ", NAT"
	}
	if s.chance(0.2) {
		p.right.config.Limits.CookieThreshold = 1
	}
	if s.chance(0.2) && p.left.nat == nil {
		s.overIPv6(p)
	}
	if s.chance(0.3) {
		s.configureResources(p)
	}
	if p.seed%2 == 0 {
		s.what += ", crash tokens"
		withTokens(p)
	}
	if !s.calm && s.chance(0.4) {
		s.what += ", roaming"
		s.roams = true
		left.Local, right.Local = netip.Addr{}, netip.Addr{}
	}
}

// configureResources sets several workers. One side may have a single one, and one may not know RFC
// 9611.
func (s *simulation) configureResources(p *testPair) {
	s.resources = 2 + s.rand.IntN(3)
	s.what += fmt.Sprintf(", %d workers", s.resources)
	for _, side := range []*testSide{p.left, p.right} {
		side.config.Resources = s.resources
		side.peers[0].PerResource = true
		switch {
		case s.chance(0.2):
			side.config.Resources = 1
		case s.chance(0.1):
			side.peers[0].PerResource = false
		}
	}
}

// overIPv6 adds both sides' IPv6 addresses to the peers, and lets the system choose the local ones.
func (s *simulation) overIPv6(p *testPair) {
	s.what += ", IPv6"
	for _, side := range []*testSide{p.left, p.right} {
		peer := &side.peers[0]
		peer.Local = netip.Addr{}
		if len(peer.Remote) > 0 {
			peer.Remote = side.other().addrs[1:]
		}
	}
}

// simIKEProposals are the ciphers and PRFs that IKE SAs of simulations use.
var simIKEProposals = []wire.Proposal{
	testIKEProposal,
	{Protocol: wire.ProtoIKE, Transforms: []wire.Transform{
		{Type: wire.TransformENCR, ID: wire.EncrAESCBC, KeyLength: 256},
		{Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2256},
		{Type: wire.TransformPRF, ID: wire.PRFHMACSHA2512},
		{Type: wire.TransformKE, ID: wire.GroupX25519},
	}},
	{Protocol: wire.ProtoIKE, Transforms: []wire.Transform{
		{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305},
		{Type: wire.TransformPRF, ID: wire.PRFHMACSHA2384},
		{Type: wire.TransformKE, ID: wire.GroupX25519},
	}},
}

func (s *simulation) configureIKE(left, right *Peer) {
	life := s.between(4*time.Minute, 15*time.Minute)
	encap := EncapMode(s.rand.IntN(2)) // auto or always
	fragment := []int{0, 300, 1280}[s.rand.IntN(3)]
	for _, peer := range []*Peer{left, right} {
		peer.Lifetime = life
		if s.chance(0.4) {
			peer.Lifetime = s.between(4*time.Minute, 15*time.Minute)
		}
		if s.chance(0.25) {
			peer.AuthLifetime = s.between(3*time.Minute, 10*time.Minute).Truncate(time.Second)
		}
		peer.Encap, peer.Fragment = encap, fragment
		peer.DPD = []time.Duration{0, 10 * time.Second, 30 * time.Second}[s.rand.IntN(3)]
		peer.DPDAction = DPDAction(s.rand.IntN(3))
	}
	if !s.calm {
		// Without it a side that cannot connect would wait for hours until its lifetime ends.
		left.DPD, right.DPD = max(left.DPD, 10*time.Second), max(right.DPD, 10*time.Second)
	}
	first := simIKEProposals[s.rand.IntN(len(simIKEProposals))]
	other := withGroup(first, wire.GroupECP256)
	left.Proposals, right.Proposals = []wire.Proposal{first}, []wire.Proposal{first}
	switch s.rand.IntN(4) {
	case 0: // INVALID_KE_PAYLOAD from the right
		left.Proposals, right.Proposals = []wire.Proposal{first, other}, []wire.Proposal{other}
	case 1: // and from both
		left.Proposals, right.Proposals = []wire.Proposal{first, other}, []wire.Proposal{other, first}
	}
	if s.chance(0.3) {
		right.Remote = nil
	}
	if s.chance(0.1) {
		left.Remote = append([]netip.Addr{netip.MustParseAddr("192.0.2.99")}, left.Remote...) // nobody there
	}
}

func (s *simulation) addChild(p *testPair, n int) {
	name := string(rune('a' + n))
	proposal := testESPProposal
	if s.chance(0.3) {
		proposal = wire.Proposal{Protocol: wire.ProtoESP, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305},
			{Type: wire.TransformESN, ID: wire.ESNYes},
			{Type: wire.TransformESN, ID: wire.ESNNo},
		}}
	}
	if s.chance(0.4) {
		proposal = withGroup(proposal, wire.GroupX25519)
	}
	narrow := -1
	if s.chance(0.3) {
		narrow = s.rand.IntN(2) // one side's policy has only half of the other's
	}
	life := s.between(2*time.Minute, 8*time.Minute)
	for i, side := range []*testSide{p.left, p.right} {
		c := testChild(side, name, n)
		if i == narrow {
			c.Remote = []selector.Selector{half(c.Remote[0]), selector.FromAddr(c.Remote[0].End)}
		}
		c.Proposals = []wire.Proposal{proposal}
		c.Lifetime = life
		if s.chance(0.3) {
			c.Lifetime = s.between(2*time.Minute, 8*time.Minute)
		}
		c.Start = StartMode(s.rand.IntN(3))
		if side == p.left && s.chance(0.7) {
			c.Start = StartBoot
		}
		side.peers[0].Children = append(side.peers[0].Children, c)
	}
}

// half is the lower half of a /24.
func half(s selector.Selector) selector.Selector {
	return selector.FromPrefix(netip.PrefixFrom(s.Start, 25))
}

// fate is what the link does with one packet.
func (s *simulation) fate(pk *testPacket) []time.Duration {
	l := &s.link
	if s.p.now.Before(l.partition) || s.chance(l.drop) {
		return nil
	}
	if pk.msg != nil && pk.msg.protected && s.chance(l.corrupt) {
		i := s.rand.IntN(len(pk.data))
		pk.data = slices.Clone(pk.data)
		pk.data[i] ^= 1 << s.rand.IntN(8)
	}
	delays := []time.Duration{l.delay + s.between(0, l.jitter)}
	if pk.msg != nil && s.chance(l.dup) {
		delays = append(delays, l.delay+s.between(0, 3*time.Second))
	}
	return delays
}

// trouble lives through a random time: traffic always, and what the kind of life allows.
func (s *simulation) trouble() {
	p := s.p
	length := 30 * time.Minute
	if !s.calm {
		length = s.between(5*time.Minute, 12*time.Minute)
		s.link.drop = []float64{0, 0.05, 0.2, 0.4}[s.rand.IntN(4)]
		s.link.dup = []float64{0, 0.1, 0.3}[s.rand.IntN(3)]
		s.link.corrupt = []float64{0, 0, 0.05}[s.rand.IntN(3)]
	}
	end := p.now.Add(length)
	p.left.connect("")
	for p.now.Before(end) && len(p.broken) == 0 {
		p.drive(s.between(100*time.Millisecond, 20*time.Second))
		s.someTraffic()
		if s.chance(0.1) {
			s.command()
		}
		if s.chance(0.2) {
			s.probePath(s.anySide(), s.anyChild())
		}
		if s.chance(0.05) {
			s.hint(s.anySide(), s.anyChild())
		}
		if !s.calm && s.chance(0.06) {
			s.mishap()
		}
	}
	p.link = s.fate
}

// probePath has a dataplane ask whether a size passes, of which half do not.
func (s *simulation) probePath(side *testSide, child string) {
	for _, psa := range side.plane.ofPolicy(side.policy(child)) {
		side.handle(ProbePath{ID: psa.sa.ID, Size: 576 + s.rand.IntN(1000)})
	}
}

// hint has a side suspect that the peer has lost its SAs.
func (s *simulation) hint(side *testSide, child string) {
	for _, psa := range side.plane.ofPolicy(side.policy(child)) {
		side.handle(Hint{ID: psa.sa.ID})
	}
	if s.chance(0.5) {
		side.handle(UnknownSPI{Path: ipsec.UDPPath(side.home(), side.other().home()), SPI: s.rand.Uint32()})
	}
}

func (s *simulation) someTraffic() {
	for _, side := range []*testSide{s.p.left, s.p.right} {
		for _, c := range side.peers[0].Children {
			if side.e != nil && s.chance(0.5) {
				side.trafficBy(s.worker(), c.Name)
			}
		}
	}
}

// anySide is one of the sides that live.
func (s *simulation) anySide() *testSide {
	side := s.p.left
	if s.chance(0.5) {
		side = s.p.right
	}
	if side.e == nil {
		side = side.other()
	}
	return side
}

func (s *simulation) anyChild() string { return string(rune('a' + s.rand.IntN(s.children))) }

// command is something that operators or limits do. Several at about the same time make collisions.
func (s *simulation) command() {
	sides := []*testSide{s.anySide()}
	if s.chance(0.5) {
		sides = append(sides, sides[0].other())
	}
	child, kind := s.anyChild(), s.rand.IntN(8)
	for _, side := range sides {
		s.give(side, child, kind)
		for s.chance(0.3) {
			s.give(side, s.anyChild(), s.rand.IntN(8))
		}
	}
}

// give lets a side be told something within a few round trips.
func (s *simulation) give(side *testSide, child string, kind int) {
	life := side.life
	s.p.events.add(s.p.now.Add(s.between(0, 2*s.link.delay+s.link.jitter)), func() {
		if side.e != nil && side.life == life {
			s.obey(side, child, kind)
		}
	})
}

func (s *simulation) obey(side *testSide, child string, kind int) {
	switch {
	case kind <= 2:
		side.rekey(child)
	case kind == 3:
		side.rekey("")
	case kind == 4:
		side.handle(SetPeers{Peers: slices.Clone(side.peers)}) // nothing changed
	case kind == 5:
		s.expire(side, child, false)
	case kind == 6 && !s.calm:
		s.roughCommand(side, child)
	default:
		side.connect(child)
	}
}

func (s *simulation) expire(side *testSide, child string, hard bool) {
	for _, psa := range side.plane.ofPolicy(side.policy(child)) {
		side.handle(Expire{ID: psa.sa.ID, Hard: hard})
	}
}

// roughCommand takes something down, at least for a while.
func (s *simulation) roughCommand(side *testSide, child string) {
	switch s.rand.IntN(5) {
	case 0:
		side.disconnect(child)
	case 1:
		side.disconnect("")
	case 2:
		s.expire(side, child, true)
	case 3:
		side.handle(acquireOf(side, child))
	case 4:
		side.peers[0].DPD += time.Millisecond // another configuration: the peer is closed and connects again
		side.handle(SetPeers{Peers: slices.Clone(side.peers)})
	}
}

// acquireOf is a packet of the child, whatever is installed.
func acquireOf(s *testSide, child string) Acquire {
	policy := s.policy(child)
	return Acquire{Policy: policy, Flow: s.flow(policy)}
}

// roam takes a side's addresses away, and gives it others, at once or later, with a word to its
// engine or without.
func (s *simulation) roam(side *testSide) {
	p := s.p
	if side.e == nil {
		return
	}
	fresh := []netip.Addr{
		netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + s.rand.IntN(100))}),
		netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", 0x100+s.rand.IntN(100))),
	}
	if side.other().hasAddr(fresh[0]) || side.other().hasAddr(fresh[1]) {
		return
	}
	p.note("--- %s leaves %v for %v", side.name, side.addrs, fresh)
	told := s.chance(0.7)
	arrive := func() {
		side.addrs = fresh
		if told && side.e != nil {
			side.handle(AddressesChanged{})
		}
	}
	if s.chance(0.6) {
		arrive()
		return
	}
	side.addrs = nil
	if side.handle(AddressesChanged{}); s.chance(0.5) {
		p.events.add(p.now.Add(s.between(0, 20*time.Second)), arrive)
		return
	}
	arrive()
}

// settleNames has each side look up where the other one is by now.
func (s *simulation) settleNames() {
	for _, side := range []*testSide{s.p.left, s.p.right} {
		remote := side.peers[0].Remote
		if !s.roams || len(remote) == 0 || len(side.other().addrs) == 0 {
			continue
		}
		at := side.other().addrFor(remote[len(remote)-1])
		if nat := side.other().nat; nat != nil {
			at = nat.public
		}
		side.resolved(at)
	}
}

// mishap is what happens to networks and machines.
func (s *simulation) mishap() {
	p := s.p
	kinds := 4
	if s.roams {
		kinds = 10
	}
	switch kind := s.rand.IntN(kinds); {
	case kind >= 4:
		s.roam(s.anySide())
	case kind == 0:
		s.link.partition = p.now.Add(s.between(time.Second, 3*time.Minute))
		p.note("--- the link is cut until %v", s.link.partition.Sub(epoch))
	case kind == 1:
		if p.left.nat != nil {
			p.note("--- the NAT forgets")
			p.left.nat.forget()
		}
	default:
		side := s.anySide()
		if side.other().e == nil {
			return
		}
		side.kill()
		p.events.add(p.now.Add(s.between(0, time.Minute)), func() {
			if side.e == nil {
				p.note("--- %s starts again", side.name)
				side.start()
			}
		})
	}
}
