package ike

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// What this host or an ICMP error says of packets that do not arrive is shown at once, and is never
// the reason for which an SA ends: "an endpoint MUST NOT conclude that the other endpoint has
// failed based on any routing information (e.g., ICMP messages)" (RFC 7296, Section 2.4). It is a
// hint: the peer is asked whether it is alive, and of several addresses the next one is tried
// sooner.

const (
	// obstacleKept is how long an obstacle is shown that is not reported again.
	obstacleKept = 30 * time.Second
	// obstacleAfter is how long after its last report an answer of the peer disproves an obstacle:
	// one that lasts, such as a firewall that lets only IKE pass, is reported again meanwhile.
	obstacleAfter = 2 * time.Second
	// obstacleAgain is the least time between two notices of a party. Reports of this host are
	// certain, and their first notice does not wait.
	obstacleAgain = time.Minute
)

// An obstacle is what was last reported of the way to a party.
type obstacle struct {
	why    ipsec.Obstacle
	by     netip.Addr // as in ipsec.Unreachable
	local  netip.Addr // our address towards the peer
	remote netip.AddrPort
	last   time.Time // of the reports
	heard  time.Time // when the peer was last heard
	told   time.Time // of the notices
	tellIt ipsec.Obstacle
}

// unreachable handles a report that packets do not arrive.
func (e *Engine) unreachable(in Unreachable) {
	if in.ID != 0 {
		if p := e.pairs.Carried(in.ID); p != nil {
			saOf(p).unreachable(in.Unreachable)
		}
		return
	}
	if !in.Why.Certain() && !e.unprotected.AllowICMP(e.handling.now) {
		e.count("ike_unreachable_limited")
		return
	}
	list := e.sendersOf(in.Unreachable)
	if len(list) == 0 {
		e.count("ike_unreachable_ignored")
	}
	for _, s := range list {
		s.unreachable(in.Unreachable)
	}
}

// sendersOf returns the IKE SAs that may have sent the packet of a report. Of many with one address
// only the one is found whose SPI is quoted.
func (e *Engine) sendersOf(u ipsec.Unreachable) (list []*ikeSA) {
	if s := e.sas.bySPI[wire.SPI(u.IKE)]; s != nil && s.mayHaveSent(u) {
		return []*ikeSA{s}
	}
	if known := e.sas.byAddr[u.Path.Remote().Addr()]; len(known) <= maxSharing {
		list = slices.Clone(known)
	}
	known := e.peers.at(u.Path)
	for _, p := range known[:min(len(known), maxKnown)] {
		for _, s := range p.party.sas {
			if s.connecting() {
				list = append(list, s)
			}
		}
	}
	return slices.DeleteFunc(list, func(s *ikeSA) bool { return !s.mayHaveSent(u) })
}

// mayHaveSent reports whether a report is about a packet of the IKE SA or of one of its Child SAs.
// The SPI is compared where it is quoted: who is not on the path does not know it.
func (s *ikeSA) mayHaveSent(u ipsec.Unreachable) bool {
	path := s.net.Path
	switch {
	case s.party == nil || s.state.ended():
		return false
	case u.IKE != 0 && wire.SPI(u.IKE) != s.spi.I:
		return false
	case u.ESP != 0:
		p := s.children.Named(binary.BigEndian.AppendUint32(nil, u.ESP))
		if p == nil {
			return false
		}
		path = p.SA.Path
	}
	local := path.Local().Addr()
	return path.Via() == u.Path.Via() && path.Remote() == u.Path.Remote() &&
		(!local.IsValid() || !u.Path.Local().Addr().IsValid() || local == u.Path.Local().Addr())
}

// unreachable notes a report about packets of the IKE SA, and takes it as a hint.
func (s *ikeSA) unreachable(u ipsec.Unreachable) {
	s.e.count("ike_unreachable")
	if u.Why == ipsec.ObstacleRoute {
		if s.net.roam() {
			return
		}
		if s.net.homeless() {
			u.Why = ipsec.ObstacleSource
		}
	}
	s.party.obstructed(s, u)
	if s.state == saConnecting {
		s.hurryTry()
		return
	}
	s.live.hint(hintedCheck)
	if u.ESP != 0 && u.Why >= ipsec.ObstacleProtocol {
		s.net.doubtESP()
	}
}

// homeless reports whether the address that we send from is not this host's any more.
func (n *network) homeless() bool {
	a := n.Local().Addr()
	return a.IsValid() && !n.sa.e.hasAddr(a)
}

// homeless reports whether the address that we sent from was gone when it was last looked at.
func (p *party) homeless() bool {
	return p.obstacle.shown(p.e.handling.now) && p.obstacle.why == ipsec.ObstacleSource
}

// askAtOnce asks again at once what the peer may not have heard, at a sign that it hears it now:
// our address is back, so that its answer ends the doubt before another IKE SA is made, or people
// want it up.
func (s *ikeSA) askAtOnce() {
	if _, path := s.work.Current().(prober); path || s.win.Outstanding() == nil || !s.state.authenticated() {
		return
	}
	s.askAgain()
}

// hurryTry shortens an attempt to connect if there is another address to try.
func (s *ikeSA) hurryTry() {
	p := s.party
	if s.setup.obstructed || s.win.Outstanding() == nil || p.try.missed+1 >= len(p.cfg.Remote) {
		return
	}
	s.setup.obstructed = true
	s.awaitAnswer()
}

// obstructed notes what was reported, and tells people. What this host knows is not replaced by
// what an ICMP error says.
func (p *party) obstructed(s *ikeSA, u ipsec.Unreachable) {
	now, o := p.e.handling.now, p.obstacle
	if o == nil {
		o = &obstacle{}
		p.obstacle = o
	}
	if o.shown(now) && o.why.Certain() && !u.Why.Certain() {
		return
	}
	o.why, o.by, o.local, o.remote, o.last = u.Why, u.By, s.net.Local().Addr(), s.net.Remote(), now
	if !o.told.IsZero() && now.Sub(o.told) < obstacleAgain && (!u.Why.Certain() || o.tellIt == u.Why) {
		return
	}
	o.told, o.tellIt = now, u.Why
	p.notice(Warn, "unreachable", "", p.obstacleText())
}

// shown reports whether the obstacle is news still.
func (o *obstacle) shown(now time.Time) bool {
	return o != nil && !o.last.IsZero() && now.Sub(o.last) <= obstacleKept && !o.heard.After(o.last.Add(obstacleAfter))
}

// heard notes that the peer was heard: something authentic came.
func (p *party) heard() {
	if p != nil && p.obstacle != nil {
		p.obstacle.heard = p.e.handling.now
	}
}

// obstacleText describes what keeps packets from the peer, as far as is known, with a remedy where
// there is one; "" if nothing was reported lately.
func (p *party) obstacleText() string {
	o := p.obstacle
	if !o.shown(p.e.handling.now) {
		return ""
	}
	what := o.why.String()
	if o.why == ipsec.ObstacleSource {
		what = fmt.Sprintf("our address %s is gone", o.local)
	}
	if o.by.IsValid() {
		what += ", said by " + o.by.String()
	}
	return identity.Printable("unreachable: " + join(what, o.remedy(p)))
}

// remedy returns what an operator may do, or "".
func (o *obstacle) remedy(p *party) string {
	to := o.remote.Addr()
	switch o.why {
	case ipsec.ObstacleFirewall:
		return fmt.Sprintf("allow UDP %d and %d and IP protocol 50 to %s, or packets with [daemon] mark", p.e.cfg.IKEPort, p.e.cfg.NATPort, to)
	case ipsec.ObstacleRoute, ipsec.ObstacleForbidden:
		return fmt.Sprintf("see `ip route get %s`", to)
	case ipsec.ObstacleSource:
		if p.cfg.Local.IsValid() {
			return `[[peer]] local names it`
		}
	case ipsec.ObstaclePort:
		return fmt.Sprintf("is IKE running at %s?", o.remote)
	case ipsec.ObstacleProtocol:
		return `encap = "always" sends ESP in UDP`
	}
	return ""
}

// portBlocked tells people what would let a worker's own SA be sent from a port of its own.
func (e *Engine) portBlocked(in PortBlocked) {
	p := e.pairs.Carried(in.ID)
	if p == nil {
		return
	}
	what := "does not arrive"
	if in.Why != ipsec.NoObstacle {
		what = "does not leave: " + in.Why.String()
	}
	saOf(p).notice(Info, "port-blocked", fmt.Sprintf("ESP from UDP port %d %s, and is sent from port %d; let UDP from any port to %s pass, and what several workers send is spread over cores on its way",
		in.Path.Local().Port(), what, saOf(p).net.Local().Port(), in.Path.Remote()))
}
