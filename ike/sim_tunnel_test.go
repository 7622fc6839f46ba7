package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A simTunnel is one child of a simulation, as both sides see it, and the oracle of its liveness:
// whenever the link works and a side that can connect wants the tunnel, packets pass both ways.
type simTunnel struct {
	ends   [2]simEnd // of left and of right
	member bool      // right is a gateway with many parties
}

// A simEnd is one side's half of a tunnel.
type simEnd struct {
	side   *testSide
	peer   int              // index of its peer
	target string           // the peer or party, as commands name it
	name   ipsec.PolicyName // of its policy
	down   bool             // an operator took it down
	asked  uint64           // the command by which an operator asked for it; 0: none
	life   int              // in which it was asked for
	passed time.Time        // when a packet last arrived here
}

// addTunnel adds the tunnel of a child of a peer of left and the first peer of right.
func (s *simulation) addTunnel(peer int, name string) *simTunnel {
	left, right := s.p.left, s.p.right
	tu := &simTunnel{member: right.peers[0].Parties}
	i := 0
	if s.entries {
		i = peer
	}
	at, of := left.peers[peer].Name, right.peers[i].Name
	tu.ends[0] = simEnd{side: left, peer: peer, target: at, name: ipsec.PolicyName{Peer: at, Child: name}}
	tu.ends[1] = simEnd{side: right, peer: i, target: of, name: ipsec.PolicyName{Peer: of, Child: name}}
	if tu.member {
		user := left.peers[peer].LocalID.Data
		tu.ends[1].target, tu.ends[1].name.Party = of+"#"+user, user
	}
	s.tunnels = append(s.tunnels, tu)
	return tu
}

// listTunnels makes the list of tunnels from the configuration.
func (s *simulation) listTunnels() {
	for i, peer := range s.p.left.peers {
		for _, c := range peer.Children {
			s.addTunnel(i, c.Name)
		}
	}
	s.p.opened = s.opened
}

// parties returns how many IKE SAs there are at rest.
func (s *simulation) parties() int { return len(s.p.left.peers) }

// policy returns the ID of the end's policy, or 0.
func (e *simEnd) policy() ipsec.PolicyID { return e.side.plane.policyNamed(e.name) }

// sas returns the end's Child SAs.
func (e *simEnd) sas() []*planeSA {
	if id := e.policy(); id != 0 {
		return e.side.plane.ofPolicy(id)
	}
	return nil
}

// send has a worker send a packet.
func (e *simEnd) send(worker int) {
	if id := e.policy(); id != 0 && e.side.e != nil {
		e.side.plane.send(id, worker)
	}
}

// settings returns the end's peer and its child as they are configured.
func (e *simEnd) settings() (*Peer, *Child) {
	p := &e.side.peers[e.peer]
	return p, childOf(p, e.name.Child)
}

// wants reports whether the end should bring the tunnel up by itself, at the latest when there is a
// packet.
func (e *simEnd) wants() bool {
	peer, c := e.settings()
	if e.side.e == nil || len(peer.Remote) == 0 {
		return false
	}
	if peer.DPDAction == DPDClear || c.Start == StartNever && peer.DPDAction == DPDTrap { // it may have been cleared
		pol := e.side.e.policies.byID[e.policy()]
		return pol != nil && (pol.Base() != child.IntentDown || pol.Wanted())
	}
	return c.Start != StartNever || e.life == e.side.life && e.side.answered[e.asked] && e.side.done[e.asked] == nil
}

// wanted reports whether some end is to bring the tunnel up, and none has been taken down.
func (tu *simTunnel) wanted() bool {
	l, r := &tu.ends[0], &tu.ends[1]
	return !l.down && !r.down && (l.wants() || r.wants())
}

// opened notes that a packet has passed.
func (s *simulation) opened(at *testSide, name ipsec.PolicyName) {
	for _, tu := range s.tunnels {
		for i := range tu.ends {
			if e := &tu.ends[i]; e.side == at && e.name == name {
				e.passed = s.p.now
				s.wantShut(tu)
			}
		}
	}
}

// Within these times packets pass again.
const (
	simPatience = 90 * time.Second
	simPulse    = 5 * time.Second
)

// upset notes that something was done that may interrupt traffic, and that is over now.
func (s *simulation) upset() { s.calmSince = s.p.now }

// works reports whether the link is faultless and both sides are there.
func (s *simulation) works() bool {
	l := &s.link
	return !s.leaving && !s.starves() && l.drop == 0 && l.corrupt == 0 && !s.p.now.Before(l.partition) && s.p.left.e != nil && s.p.right.e != nil &&
		len(s.p.left.addrs) > 0 && len(s.p.right.addrs) > 0
}

// pulse sends on every tunnel, both ways, checks the liveness of each, and plans the next pulse: an
// early one while a tunnel does not work.
func (s *simulation) pulse() {
	p, next := s.p, simPulse
	if !s.works() {
		s.upset()
	}
	for _, tu := range s.tunnels {
		for i := range tu.ends {
			e := &tu.ends[i]
			e.send(s.worker())
			s.reportUnheard(e)
			if !tu.wanted() || p.now.Sub(e.passed) < 2*simPulse {
				continue
			}
			next = time.Second
			since := later(s.calmSince, e.passed)
			if late := p.now.Sub(since); late > simPatience+3*time.Second {
				p.violated("no packet of %s reached %s for %v, though the link works and the tunnel is wanted", e.name.Child, e.side.name, late)
				e.passed = p.now
			}
		}
		if !tu.wanted() {
			tu.ends[0].passed, tu.ends[1].passed = p.now, p.now
		}
	}
	p.events.add(p.now.Add(next), s.pulse)
}

// other returns the other end.
func (tu *simTunnel) other(e *simEnd) *simEnd {
	if e == &tu.ends[0] {
		return &tu.ends[1]
	}
	return &tu.ends[0]
}

// connectUnwanted asks for every tunnel that nobody brings up by himself.
func (s *simulation) connectUnwanted() {
	for _, tu := range s.tunnels {
		for i := range tu.ends {
			if e := &tu.ends[i]; e.down {
				s.release(e)
				s.connect(e)
			}
		}
		if !tu.wanted() {
			s.connect(&tu.ends[0])
		}
	}
}

// connect and disconnect are the commands of an operator.
func (s *simulation) connect(e *simEnd) {
	if s.upOfHeld(e) {
		return
	}
	e.down, e.asked, e.life = false, e.side.ref(), e.side.life
	s.upset()
	e.side.handle(Connect{Peer: e.target, Child: e.name.Child, Ref: e.asked})
}

func (s *simulation) disconnect(e *simEnd, all bool) {
	name := e.name.Child
	if all {
		name = ""
	}
	for _, tu := range s.tunnels {
		for i := range tu.ends {
			if o := &tu.ends[i]; o.side == e.side && o.target == e.target && (all || o == e) {
				o.down, o.asked = true, 0
			}
		}
	}
	s.upset()
	e.side.handle(Disconnect{Peer: e.target, Child: name, Once: true, Ref: e.side.ref()})
}

// configureParties makes left several users of right's gateway.
func (s *simulation) configureParties(p *testPair) {
	n := 2 + s.rand.IntN(3)
	s.what += fmt.Sprintf(", %d parties", n)
	office, like := &p.right.peers[0], p.left.peers[0]
	office.Name, office.Remote, office.Parties = "office", nil, true
	office.RemoteID = identity.ID{Type: wire.IDRFC822, Data: "*@example.com"}
	office.Children = office.Children[:1]
	office.Children[0].Remote = testNetworks("10.1.0.0/16")
	like.Children = like.Children[:1]
	p.left.peers = nil
	for i := range n {
		u := like
		u.Name = fmt.Sprintf("as%d", i)
		u.LocalID = identity.ID{Type: wire.IDRFC822, Data: userName(i)}
		u.Children = slices.Clone(like.Children)
		u.Children[0].Local, u.Children[0].Remote = userNet(i), testNetworks("10.2.0.0/24")
		p.left.peers = append(p.left.peers, u)
	}
	office.Children[0].Local = testNetworks("10.2.0.0/24")
}

// configureNAT puts left behind a NAT that may forget, and often right behind one as well, which
// has a fixed mapping.
func (s *simulation) configureNAT(p *testPair) {
	left, right := &p.left.peers[0], &p.right.peers[0]
	p.left.nat = newNAT(netip.MustParseAddr("198.51.100.1"))
	right.Remote = nil
	left.Encap, right.Encap = EncapAuto, EncapAuto
	s.what += ", NAT"
	if s.chance(0.5) {
		public := netip.MustParseAddr("198.51.100.2")
		p.right.nat = newStaticNAT(public, p.right.addrs[0])
		left.Remote = []netip.Addr{public}
		s.what += " of both"
	}
}
