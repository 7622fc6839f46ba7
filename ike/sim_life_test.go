package ike

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/proposal"
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
	left, right := &p.left.peers[0], &p.right.peers[0]
	s.what = map[bool]string{false: "rough", true: "calm"}[s.calm]
	s.configureIKE(left, right)
	left.Children, right.Children = nil, nil
	for n := range 1 + s.rand.IntN(3) {
		s.addChild(p, n)
	}
	if s.chance(0.3) {
		s.configurePFS(left, right)
	}
	if s.calm {
		s.link.dup = 0.05
	}
	if s.chance(0.3) {
		s.configureNAT(p)
	}
	if s.chance(0.2) {
		p.right.config.Limits.CookieThreshold = 1
	}
	if s.chance(0.2) && p.left.nat == nil {
		s.overIPv6(p)
	}
	if s.chance(0.2) {
		s.what += ", one side older"
		p.sides()[s.rand.IntN(2)].older = true
	}
	kind := s.rand.IntN(10)
	switch {
	case kind < 3:
		s.configureResources(p)
	case kind == 3:
		s.configureParties(p)
	case kind == 4:
		s.configureRefusal(p)
	case s.mayHaveEntries(p) && s.more.Float64() < 0.3:
		s.configureEntries(p)
	}
	if kind != 3 && !s.entries {
		s.configurePairs(p)
	}
	s.configureChildless(p)
	if p.seed%2 == 0 {
		s.what += ", crash tokens"
		withTokens(p)
	}
	if !s.calm && p.right.nat == nil && kind != 3 && s.chance(0.4) && !s.entries {
		s.what += ", roaming"
		s.roams = true
		left.Local, right.Local = netip.Addr{}, netip.Addr{}
	}
	if kind != 3 && !s.entries && s.more.Float64() < 0.25 {
		s.configureCertificates(p)
	}
	s.configureTransport(p)
}

// configureChildless has some sides begin IKE SAs without a Child SA, and some make none.
func (s *simulation) configureChildless(p *testPair) {
	if s.childless.Float64() >= 0.25 {
		return
	}
	s.what += ", childless"
	for _, side := range p.sides() {
		for i := range side.peers {
			side.peers[i].Childless = s.drawChildless()
		}
	}
}

// drawChildless returns a mode by which the tunnel can come up: where a side makes Child SAs in
// IKE_AUTH only, none that insists on others. A side never announces what the other one insists on.
func (s *simulation) drawChildless() ChildlessMode {
	list := []ChildlessMode{ChildlessAllow, ChildlessPrefer, ChildlessForce}
	if s.alone {
		list[2] = ChildlessNever
	}
	return list[s.childless.IntN(len(list))]
}

// configurePairs gives some children another network on each side, and a Child SA for each pair of
// them, on one side or on both.
func (s *simulation) configurePairs(p *testPair) {
	draw := rand.New(seededRand(p.seed, "pairs"))
	for n := range p.left.peers[0].Children {
		if s.alone || draw.Float64() >= 0.15 {
			continue
		}
		s.what += ", pairs"
		s.parts += 5 // a side may have one of its networks in two halves
		which := 1 + draw.IntN(3)
		for i, side := range []*testSide{p.left, p.right} {
			c, more := &side.peers[0].Children[n], testChild(side, "", n+100)
			c.Local, c.Remote = slices.Concat(c.Local, more.Local), slices.Concat(c.Remote, more.Remote)
			if which&(1<<i) != 0 {
				c.Children = ChildrenPerPair
			}
		}
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
	s.sixes = true
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
		peer.OtherPSKs = [][]byte{otherTestPSK}
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
		s.what += ", dead address"
		left.Remote = append([]netip.Addr{nobody}, left.Remote...)
	}
}

func (s *simulation) addChild(p *testPair, n int) {
	name := string(rune('a' + n))
	plain := testESPProposal
	if s.chance(0.3) {
		plain = wire.Proposal{Protocol: wire.ProtoESP, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305},
			{Type: wire.TransformESN, ID: wire.ESNYes},
			{Type: wire.TransformESN, ID: wire.ESNNo},
		}}
	}
	proposals := s.drawPFS(plain)
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
		c.Proposals = proposals
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

// drawPFS returns proposals with the algorithms of one: with a key exchange, without one, or with
// the choice that the defaults leave.
func (s *simulation) drawPFS(plain wire.Proposal) []wire.Proposal {
	with := withGroup(plain, wire.GroupX25519)
	list := [][]wire.Proposal{{plain}, {with}, {with, plain}, {addGroup(with, wire.GroupECP256), plain}}
	return list[s.rand.IntN(len(list))]
}

// configurePFS gives one side another setting for PFS. Without any in common, only the Child SA of
// IKE_AUTH can come up, so there is one child.
func (s *simulation) configurePFS(left, right *Peer) {
	s.alone = true
	left.Children, right.Children = left.Children[:1], right.Children[:1]
	plain := left.Children[0].Proposals[0]
	plain.Transforms = slices.DeleteFunc(slices.Clone(plain.Transforms), func(t wire.Transform) bool { return t.Type == wire.TransformKE })
	left.Children[0].Proposals, right.Children[0].Proposals = s.drawPFS(plain), s.drawPFS(plain)
	s.what += ", PFS of " + proposal.Groups(left.Children[0].Proposals) + " and " + proposal.Groups(right.Children[0].Proposals)
}

// half is the lower half of a /24.
func half(s selector.Selector) selector.Selector {
	return selector.FromPrefix(netip.PrefixFrom(s.Start, 25))
}

// fate is what the link does with one packet.
func (s *simulation) fate(pk *testPacket) []time.Duration {
	l := &s.link
	if s.p.now.Before(l.partition) || s.chance(l.drop) || l.eats.fits(pk) {
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
	length, weather := 30*time.Minute, time.Time{}
	if !s.calm {
		length = s.between(5*time.Minute, 12*time.Minute)
	}
	end := p.now.Add(length)
	s.connectUnwanted()
	for p.now.Before(end) && len(p.broken) == 0 {
		if !s.calm && !p.now.Before(weather) {
			weather = p.now.Add(s.between(time.Minute, 6*time.Minute))
			s.drawWeather()
		}
		p.drive(s.between(100*time.Millisecond, 20*time.Second))
		s.someTraffic()
		if s.chance(0.1) {
			s.command()
		}
		if s.chance(0.2) {
			s.probePath(s.anyEnd())
		}
		if s.chance(0.05) {
			s.hint(s.anyEnd())
		}
		if s.obstacles != nil && s.more.Float64() < 0.1 {
			s.obstacles.forge()
		}
		if !s.calm && s.chance(0.06) {
			s.mishap()
		}
	}
	p.link = s.fate
}

// drawWeather changes what the link does: half of the time it loses nothing.
func (s *simulation) drawWeather() {
	l := &s.link
	l.drop, l.dup, l.corrupt = 0, []float64{0, 0.1, 0.3}[s.rand.IntN(3)], 0
	if s.chance(0.5) {
		l.drop = []float64{0.05, 0.2, 0.4}[s.rand.IntN(3)]
		l.corrupt = []float64{0, 0, 0.05}[s.rand.IntN(3)]
	}
	s.eatSome()
	s.upset()
	s.p.note("--- the link loses %v, doubles %v, corrupts %v", l.drop, l.dup, l.corrupt)
}

// probePath has a dataplane ask whether a size passes, of which half do not.
func (s *simulation) probePath(e *simEnd) {
	for _, psa := range e.sas() {
		e.side.handle(ProbePath{ID: psa.sa.ID, Size: 576 + s.rand.IntN(1000)})
	}
}

// hint has a side suspect that the peer has lost its SAs.
func (s *simulation) hint(e *simEnd) {
	for _, psa := range e.sas() {
		e.side.handle(Hint{ID: psa.sa.ID})
	}
	if other := e.side.other(); len(e.side.addrs) > 0 && len(other.addrs) > 0 && s.chance(0.5) {
		e.side.handle(UnknownSPI{Path: ipsec.UDPPath(e.side.home(), other.home()), SPI: s.rand.Uint32()})
	}
}

func (s *simulation) someTraffic() {
	for _, tu := range s.tunnels {
		for i := range tu.ends {
			if s.chance(0.5) {
				tu.ends[i].send(s.worker())
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

// anyEnd is an end of any tunnel, at a side that lives.
func (s *simulation) anyEnd() *simEnd {
	side := s.anySide()
	return s.tunnels[s.rand.IntN(len(s.tunnels))].at(side)
}

func (tu *simTunnel) at(side *testSide) *simEnd {
	if tu.ends[0].side == side {
		return &tu.ends[0]
	}
	return &tu.ends[1]
}

// command is something that operators or limits do. Several at about the same time make collisions.
func (s *simulation) command() {
	e, kind := s.anyEnd(), s.rand.IntN(9)
	ends := []*simEnd{e}
	if s.chance(0.5) {
		for _, tu := range s.tunnels {
			if tu.at(e.side) == e {
				ends = append(ends, tu.at(e.side.other()))
			}
		}
	}
	for _, e := range ends {
		s.give(e, kind)
		for s.chance(0.3) {
			s.give(s.tunnels[s.rand.IntN(len(s.tunnels))].at(e.side), s.rand.IntN(9))
		}
	}
}

// give lets a side be told something within a few round trips.
func (s *simulation) give(e *simEnd, kind int) {
	life := e.side.life
	s.p.events.add(s.p.now.Add(s.between(0, 2*s.link.delay+s.link.jitter)), func() {
		if e.side.e != nil && e.side.life == life {
			s.obey(e, kind)
		}
	})
}

func (s *simulation) obey(e *simEnd, kind int) {
	switch {
	case kind <= 2:
		e.side.handle(Rekey{Peer: e.target, Child: e.name.Child, Ref: e.side.ref()})
	case kind == 3:
		e.side.handle(Rekey{Peer: e.target, Ref: e.side.ref()})
	case kind <= 5:
		s.reload(e)
	case kind == 6:
		s.expire(e, false)
	case kind == 7 && !s.calm && s.chance(0.3) && !s.deaf: // a Delete may have to wait for what is not answered
		s.holdOrRelease(e)
	case kind == 7 && !s.calm:
		s.roughCommand(e)
	default:
		s.connect(e)
	}
}

func (s *simulation) expire(e *simEnd, hard bool) {
	for _, psa := range e.sas() {
		e.side.handle(Expire{ID: psa.sa.ID, Hard: hard})
	}
}

// roughCommand takes something down, at least for a while.
func (s *simulation) roughCommand(e *simEnd) {
	s.upset()
	switch s.rand.IntN(5) {
	case 0:
		s.disconnect(e, false)
	case 1:
		s.disconnect(e, true)
	case 2:
		s.expire(e, true)
	case 3:
		if id := e.policy(); id != 0 {
			e.side.handle(Acquire{Policy: id, Flow: e.side.flow(id)})
		}
	case 4:
		s.reloadRough(e)
	}
}

// roam takes a side's addresses away, and gives it others, at once or later, with a word to its
// engine or without.
func (s *simulation) roam(side *testSide) {
	p := s.p
	if side.e == nil {
		return
	}
	fresh := s.freshAddrs()
	if side.other().hasAnyOf(fresh) {
		return
	}
	p.note("--- %s leaves %v for %v", side.name, side.addrs, fresh)
	told := s.chance(0.7)
	arrive := func() {
		for side.other().hasAnyOf(fresh) { // it came there first
			fresh = s.freshAddrs()
		}
		s.upset()
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

// freshAddrs returns an IPv4 and an IPv6 address.
func (s *simulation) freshAddrs() []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + s.rand.IntN(100))}),
		netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", 0x100+s.rand.IntN(100))),
	}
}

func (s *testSide) hasAnyOf(list []netip.Addr) bool { return slices.ContainsFunc(list, s.hasAddr) }

// settleNames has each side look up where the other one is by now.
func (s *simulation) settleNames() {
	s.settleName(s.p.left)
	s.settleName(s.p.right)
}

func (s *simulation) settleName(side *testSide) {
	remote := side.peers[0].Remote
	if !s.roams || len(remote) == 0 || len(side.other().addrs) == 0 || side.e == nil {
		return
	}
	at := side.other().addrFor(remote[len(remote)-1])
	if nat := side.other().nat; nat != nil {
		at = nat.public
	}
	side.resolved(at)
}

// answerResolve has the name server answer after a while.
func (s *simulation) answerResolve(side *testSide) {
	side.resolves = nil
	s.p.events.add(s.p.now.Add(s.between(0, 2*time.Second)), func() { s.settleName(side) })
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
			s.upset()
		}
	default:
		side := s.anySide()
		if side.other().e == nil {
			return
		}
		side.kill()
		again := s.between(0, time.Minute)
		if s.chance(0.5) {
			again = s.between(0, 2*time.Second)
		}
		p.events.add(p.now.Add(again), func() {
			if side.e == nil {
				p.note("--- %s starts again", side.name)
				s.upset()
				side.start()
			}
		})
	}
}
