package ike

import (
	"net/netip"
	"slices"
	"time"

	"culvert/internal/ipsec"
)

// This file has hosts and routers of a simulation report what does not arrive, and others forge
// such reports. Whatever they say, the oracles of liveness and of losses hold.

// simObstaclePause is the least time between two true reports to a side.
const simObstaclePause = time.Second

// simObstacles are the reports of a simulation.
type simObstacles struct {
	*simulation
	last  map[*testSide]time.Time // of the true reports
	count map[string]int          // by kind
}

// addObstacles has some lives get reports.
func (s *simulation) addObstacles() {
	if s.more.Float64() >= 0.4 {
		return
	}
	s.what += ", obstacles"
	s.obstacles = &simObstacles{simulation: s, last: map[*testSide]time.Time{}, count: map[string]int{}}
	s.p.unsent, s.p.undelivered = s.obstacles.unsent, s.obstacles.undelivered
}

// addTo adds the numbers of reports to others.
func (o *simObstacles) addTo(sum map[string]int) {
	if o != nil {
		for what, n := range o.count {
			sum[what] += n
		}
	}
}

// unsent reports whether the sender's host refuses to send a packet, since its source is gone, and
// says so.
func (o *simObstacles) unsent(pk *testPacket) bool {
	if pk.from.hasAddr(pk.src.Addr()) {
		return false
	}
	u := Unreachable{Unreachable: ipsec.Unreachable{Why: ipsec.ObstacleRoute, Path: pk.path}}
	if pk.esp != nil {
		i := slices.IndexFunc(pk.from.plane.list, func(psa *planeSA) bool { return psa.sa.SPIOut == pk.esp.spi })
		if i < 0 {
			return true
		}
		u = Unreachable{ID: pk.from.plane.list[i].sa.ID, Unreachable: ipsec.Unreachable{Why: ipsec.ObstacleRoute}}
	}
	o.report(pk.from, 0, "unsent", u)
	return true
}

// undelivered has a host without a daemon, or a router before an address of nobody, send an ICMP
// error about a packet.
func (o *simObstacles) undelivered(pk *testPacket, host bool) {
	l := &o.link
	if o.p.now.Before(l.partition) || o.more.Float64() < l.drop {
		return
	}
	u := quoted(pk.path, pk)
	u.Why, u.By = ipsec.ObstaclePort, pk.dst.Addr()
	switch {
	case !host:
		u.Why, u.By = []ipsec.Obstacle{ipsec.ObstacleHost, ipsec.ObstacleNet}[o.more.IntN(2)], simRouter
	case pk.via == ipsec.Raw:
		u.Why = ipsec.ObstacleProtocol
	}
	o.report(pk.from, l.delay, u.Why.String(), Unreachable{Unreachable: u})
}

// simRouter is a router's address.
var simRouter = netip.MustParseAddr("203.0.113.1")

// quoted returns what an ICMP error quotes of a packet.
func quoted(path ipsec.Path, pk *testPacket) ipsec.Unreachable {
	u := ipsec.Unreachable{Path: path}
	switch {
	case pk.esp != nil:
		u.ESP = pk.esp.spi
	case pk.msg != nil:
		u.IKE = uint64(pk.msg.hdr.InitiatorSPI)
	}
	return u
}

// report tells a side, unless it was told just now.
func (o *simObstacles) report(to *testSide, after time.Duration, what string, u Unreachable) {
	now := o.p.now
	if to.e == nil || now.Sub(o.last[to]) < simObstaclePause {
		return
	}
	o.last[to] = now
	o.count[what]++
	life := to.life
	o.p.events.add(now.Add(after), func() {
		if to.e != nil && to.life == life {
			to.handle(u)
		}
	})
}

// forge has a side hear of an obstacle that there is not, or not any more: its own host's for a
// moment, or an ICMP error of anybody's, who may know what is sent or not.
func (o *simObstacles) forge() {
	tu := o.tunnels[o.more.IntN(len(o.tunnels))]
	e := &tu.ends[o.more.IntN(2)]
	if e.side.e == nil {
		return
	}
	for _, psa := range e.sas() {
		o.count["forged"]++
		p := e.side.e.pairs.Carried(psa.sa.ID)
		if p == nil {
			continue
		}
		certain := ipsec.ObstacleRoute + ipsec.Obstacle(o.more.IntN(int(ipsec.ObstacleForbidden)))
		u := ipsec.Unreachable{Why: ipsec.ObstacleNet + ipsec.Obstacle(o.more.IntN(int(ipsec.ObstacleProhibited-ipsec.ObstacleNet)+1)), By: simRouter}
		sa := saOf(p)
		switch o.more.IntN(5) {
		case 0:
			e.side.handle(Unreachable{ID: psa.sa.ID, Unreachable: ipsec.Unreachable{Why: certain}})
			continue
		case 1:
			e.side.handle(Unreachable{Unreachable: ipsec.Unreachable{Why: certain, Path: sa.net.Path}})
			continue
		case 2:
			u.Path, u.ESP = psa.sa.Path, psa.sa.SPIOut
		case 3:
			u.Path, u.IKE = sa.net.Path, uint64(sa.spi.I)
		case 4:
			u.Path, u.IKE = sa.net.Path, o.more.Uint64()*uint64(o.more.IntN(2))
		}
		e.side.handle(Unreachable{Unreachable: u})
	}
}
