package ike

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/liveness"
	"culvert/ike/wire"
)

// This file is the oracle of hints: where a side that wants a tunnel still sends on SAs that its
// peer lost by a restart, and gets a sign of that, packets pass both ways again within simHinted.
// The peer may have several addresses, some of them dead. See sim_group_hint_test.go for several
// peers.

const (
	simHinted = 5 * time.Second
	// simHintedTrips is how many times the longest delay of the link is added: for a check, and for
	// IKE_SA_INIT with a cookie and another group, IKE_AUTH, and further Child SAs.
	simHintedTrips = 16
	simHintedPulse = 500 * time.Millisecond
)

// A simHint is a sign that a tunnel does not work, which has come to one side of it.
type simHint struct {
	what  string
	tu    *simTunnel
	e     *simEnd // of the side
	at    time.Time
	calm  time.Time // calmSince then
	cut   time.Time // the link's partition then
	lives [2]int
}

// simHints are the signs of a simulation.
type simHints struct {
	last  map[*simEnd]time.Time // about the IKE SA of an end, also where they meant nothing
	count map[string]int        // by kind, of those after which the tunnel worked again in time
	calls map[*party]*ikeSA     // the last that was accepted
}

func newSimHints() simHints {
	return simHints{last: map[*simEnd]time.Time{}, count: map[string]int{}, calls: map[*party]*ikeSA{}}
}

// addTo adds the numbers of signs to others, and reports whether there were any.
func (h *simHints) addTo(sum map[string]int) bool {
	for what, n := range h.count {
		sum[what] += n
	}
	return len(h.count) > 0
}

// sign is called before each Handle, and looks for signs in the input.
func (s *simulation) sign(at *testSide, in Input) {
	switch in := in.(type) {
	case Hint:
		if psa := at.plane.sas[in.ID]; psa != nil {
			s.signAbout("silence", at, func(e *simEnd) bool { return e.policy() == psa.sa.Policy })
		}
	case UnknownSPI: // about the IKE SAs with its sender's address only, also if they carry nothing
		s.signAbout("unknown ESP", at, func(e *simEnd) bool { return e.listedAt(in.Path.Remote().Addr()) })
	case Unreachable:
		s.signOfObstacle(at, in)
	case Datagram:
		s.signIn(at, in)
	}
}

// listedAt reports whether the end's peer has an IKE SA at an address.
func (e *simEnd) listedAt(a netip.Addr) bool {
	pol := e.side.e.policies.byID[e.policy()]
	return pol != nil && slices.ContainsFunc(e.side.e.sas.byAddr[a], func(sa *ikeSA) bool { return sa.party == ownerOf(pol) })
}

// spendOnCall notes, after each Handle, that the IKE SAs with the address of an IKE_SA_INIT were
// checked because of it. What the caller has lost by then is seen by other signs.
func (s *simulation) spendOnCall(at *testSide) {
	t := at.e.sas.halfOpen
	if t.last == nil || !t.clock.Add(t.last.since).Equal(s.p.now) {
		return
	}
	for _, tu := range s.tunnels {
		if e := tu.at(at); e.side == at && e.listedAt(t.last.path.Remote().Addr()) {
			s.hints.last[e] = s.p.now
		}
	}
}

// signOfObstacle looks for a sign in a report that packets do not arrive. There are too few for the
// limit of ICMP errors.
func (s *simulation) signOfObstacle(at *testSide, in Unreachable) {
	list := at.e.sendersOf(in.Unreachable)
	if p := at.e.pairs.Carried(in.ID); p != nil {
		list = []*ikeSA{saOf(p)}
	}
	s.signAbout("an obstacle", at, func(e *simEnd) bool {
		pol := at.e.policies.byID[e.policy()]
		return pol != nil && slices.ContainsFunc(list, func(sa *ikeSA) bool { return sa.usable() && sa.party == ownerOf(pol) })
	})
}

// signIn looks for a sign in an unprotected message.
func (s *simulation) signIn(at *testSide, d Datagram) {
	h, err := wire.ParseHeader(d.Data)
	if err != nil || h.NextPayload != wire.PayloadNotify {
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil || isProtected(m) {
		return
	}
	if n, ok := wire.FindNotify(m.Payloads, wire.InvalidSPI); ok && len(n.Data) == 4 {
		s.signAbout("INVALID_SPI", at, func(e *simEnd) bool {
			return slices.ContainsFunc(e.sas(), func(psa *planeSA) bool { return psa.sa.SPIOut == binary.BigEndian.Uint32(n.Data) })
		})
	} else if sa := at.e.lookup(h); ok || sa == nil || sa.party == nil || !h.Response || !sa.awaitsID(h.MessageID) {
		return
	} else if _, ok := wire.FindNotify(m.Payloads, wire.InvalidIKESPI); ok {
		s.signAbout("INVALID_IKE_SPI", at, func(e *simEnd) bool { return e.name.Peer == sa.party.cfg.Name })
	}
}

// awaitsID reports whether a response with a message ID is awaited. Others are stale, and no sign.
func (s *ikeSA) awaitsID(id uint32) bool {
	out := s.win.Outstanding()
	return out != nil && out.ID == id
}

// signOfCall looks, after each Handle, for a call of the peer's that was accepted.
func (s *simulation) signOfCall(at *testSide) {
	for _, sa := range at.e.sas.bySPI {
		if sa.initiator || !sa.usable() || !sa.life.established.Equal(s.p.now) || s.hints.calls[sa.party] == sa {
			continue
		}
		s.hints.calls[sa.party] = sa
		s.signAbout("a call", at, func(e *simEnd) bool { return e.name.Peer == sa.party.cfg.Name })
	}
}

// signAbout handles a sign about the IKE SAs of some ends of a side. It concerns all tunnels of
// these IKE SAs. An IKE SA takes no second hint within liveness.HintInterval.
func (s *simulation) signAbout(what string, at *testSide, about func(*simEnd) bool) {
	var targets []string
	for _, tu := range s.tunnels {
		if e := tu.at(at); e.side == at && about(e) {
			targets = append(targets, e.target)
		}
	}
	for _, tu := range s.tunnels {
		e := tu.at(at)
		if e.side != at || !slices.Contains(targets, e.target) {
			continue
		}
		last, ok := s.hints.last[e]
		s.hints.last[e] = s.p.now
		switch again := ok && s.p.now.Sub(last) <= liveness.HintInterval; {
		case again:
		case s.group != nil:
			s.group.hinted(what, tu, e)
		case s.lost(tu, e):
			s.await(&simHint{what: what, tu: tu, e: e, at: s.p.now, calm: s.calmSince, cut: s.link.partition, lives: [2]int{s.p.left.life, s.p.right.life}})
		}
	}
}

// lost reports whether an end sends on an SA that the other side lost by a restart, and can mend
// that by itself. An IKE SA whose own address has changed asks the peer from the new one first,
// which takes longer. A Child SA at its hard end is being deleted, and the policy waits for that.
func (s *simulation) lost(tu *simTunnel, e *simEnd) bool {
	moving := func(sa *ikeSA) bool { return sa.net.moving() }
	if !s.works() || s.link.eats.via != nil || !tu.wanted() || !s.reaches(e) || slices.ContainsFunc(slices.Collect(maps.Values(e.side.e.sas.bySPI)), moving) {
		return false
	}
	psa := e.side.plane.sender(e.policy(), 1)
	return psa != nil && e.side.live(psa) && e.side.hasAddr(psa.sa.Path.Local().Addr()) && !e.side.other().plane.known[psa.sa.SPIOut]
}

// live reports whether an SA is neither replaced nor being deleted.
func (s *testSide) live(psa *planeSA) bool {
	p := s.e.pairs.Carried(psa.sa.ID)
	return p != nil && p.State() == child.Live
}

// reaches reports whether an end wants its tunnel also after the peer's death, and knows the
// address where the other is.
func (s *simulation) reaches(e *simEnd) bool {
	peer, c := e.settings()
	return e.wants() && c.Start != StartNever && peer.DPDAction != DPDClear && len(s.holdsOn(e)) == 0 &&
		slices.ContainsFunc(peer.Remote, s.tunnelOf(e).other(e).side.isAt)
}

// isAt reports whether a side is reached at an address.
func (s *testSide) isAt(a netip.Addr) bool {
	if s.nat != nil {
		return a == s.nat.public
	}
	return a == s.addrFor(a)
}

// await has the tunnel of a sign work again in time, and has both sides send until then.
func (s *simulation) await(h *simHint) {
	trip := s.link.delay + s.link.jitter
	most := simHinted + simHintedTrips*trip
	s.p.note("--- a hint for %s that %s has lost %s: %s", h.e.side.name, h.e.side.other().name, h.e.name.Child, h.what)
	for d := simHintedPulse; d < most-trip; d += simHintedPulse {
		s.p.events.add(h.at.Add(d), func() {
			h.tu.ends[0].send(1)
			h.tu.ends[1].send(1)
		})
	}
	s.p.events.add(h.at.Add(most), func() { s.wantMended(h) })
}

// wantMended checks that packets have passed both ways since a sign, unless something has happened
// meanwhile that may interrupt traffic, or the sides still differ in a setting: by an identity that
// only one of them has, neither accepts the other.
func (s *simulation) wantMended(h *simHint) {
	if s.differing > 0 || !h.calm.Equal(s.calmSince) || !h.cut.Equal(s.link.partition) || h.lives != [2]int{s.p.left.life, s.p.right.life} || !s.works() || !h.tu.wanted() || !s.reaches(h.e) {
		return
	}
	for i := range h.tu.ends {
		if e := &h.tu.ends[i]; e.passed.Before(h.at) {
			s.p.violated("no packet of %s reached %s within %v of a hint for %s, %s, though the link works and the tunnel is wanted", e.name.Child, e.side.name, s.p.now.Sub(h.at), h.e.side.name, h.what)
			return
		}
	}
	s.hints.count[h.what]++
}
