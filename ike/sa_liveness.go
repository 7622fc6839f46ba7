package ike

import (
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
)

// liveness is what an IKE SA knows about the peer being alive (RFC 7296, Section 2.4) and about the
// NAT's mapping (Section 2.23).
//
// Both depend on when packets were last seen on the Child SAs, which only the dataplane knows. So a
// check has two steps: the timer asks for the Traffic of every pair, and the last answer triggers
// the decision.
type liveness struct {
	lastIn   time.Time // last fresh authenticated IKE message
	lastOut  time.Time // last IKE message sent
	check    timer.Timer
	waiting  map[ipsec.ChildID]bool // pairs whose Traffic was asked for and has not come
	hint     time.Time              // last check because of an unprotected message
	doubt    bool                   // an unprotected message since the last authentic one claims that the peer has lost the IKE SA
	told     time.Time              // when a peer that need not follow us answered from our new address; zero: nothing to prove
	rtt      time.Duration          // of the last path probe with one; 0: unknown
	settling bool                   // redundant: deleted as soon as the other IKE SA is known to work
}

const (
	// keepaliveInterval is the default of RFC 3948, Section 4.
	keepaliveInterval = 20 * time.Second
	// hintInterval limits the checks made because of unprotected messages (RFC 7296, Section
	// 2.21.4).
	hintInterval = 10 * time.Second
)

func (s *ikeSA) noteSent() { s.live.lastOut = s.e.handling.now }

func (s *ikeSA) noteReceived() { s.live.lastIn, s.live.doubt = s.e.handling.now, false }

// startLiveness sets the first check when the IKE SA is established.
func (s *ikeSA) startLiveness() {
	s.noteReceived()
	s.nextCheck()
}

// nextCheck sets the timer to the next moment at which something may be due.
func (s *ikeSA) nextCheck() {
	at := s.lastHeard().Add(s.party.cfg.DPD)
	if now := s.e.handling.now; !at.After(now) {
		at = now.Add(s.party.cfg.DPD)
	}
	if s.party.cfg.DPD <= 0 {
		at = time.Time{}
	}
	if !s.live.told.IsZero() {
		at = earliest(at, s.live.told.Add(proofTime))
	}
	if s.keepsNATOpen() {
		at = earliest(at, s.lastSent().Add(keepaliveInterval))
	}
	if !at.IsZero() {
		s.e.timers.Set(&s.live.check, at)
	}
}

// earliest returns the earlier of two moments; zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// keepsNATOpen reports whether we send keepalives: only the side behind the NAT does (RFC 3948,
// Section 4).
func (s *ikeSA) keepsNATOpen() bool {
	return s.net.nat.Local && s.net.Via().Keepalives && s.state == saEstablished
}

// lastSent returns when something was last sent to the peer, as far as we know.
func (s *ikeSA) lastSent() time.Time {
	last := s.live.lastOut
	for _, p := range s.pairs {
		if p.traffic.out.After(last) {
			last = p.traffic.out
		}
	}
	return last
}

// lastHeard returns when something authentic was last received.
func (s *ikeSA) lastHeard() time.Time {
	last := s.live.lastIn
	for _, p := range s.pairs {
		if p.traffic.in.After(last) {
			last = p.traffic.in
		}
	}
	return last
}

// liveCheck asks the dataplane for the pairs' Traffic.
func (s *ikeSA) liveCheck() {
	if s.state != saEstablished {
		return
	}
	s.live.waiting = map[ipsec.ChildID]bool{}
	for _, p := range s.pairs {
		s.live.waiting[p.sa.ID] = true
		s.e.emit(NeedTraffic{ID: p.sa.ID})
	}
	// If the dataplane does not answer, the next check asks again.
	s.e.after(&s.live.check, keepaliveInterval)
	if len(s.pairs) == 0 {
		s.decideLiveness()
	}
}

// traffic handles an answer to NeedTraffic, or the report of a first packet.
func (e *Engine) traffic(in Traffic) {
	p := e.pairs[in.ID]
	if p == nil || p.owner == nil {
		return
	}
	s := p.owner
	first := p.traffic.in.IsZero() && !in.LastIn.IsZero()
	p.traffic = trafficSeen{in: in.LastIn, out: in.LastOut}
	if first {
		p.firstInbound()
	}
	if p.judged {
		p.judge()
	}
	if s.live.waiting[in.ID] {
		delete(s.live.waiting, in.ID)
		if len(s.live.waiting) > 0 {
			return
		}
		s.live.waiting = nil
		if s.state == saEstablished {
			s.decideLiveness()
		}
	}
}

// firstInbound handles the first packet on the pair, which shows that the peer can receive on it:
// "The responder can be assured that the initiator is prepared to receive messages on an SA if
// [...] it has received a cryptographically valid message on the other half of the SA pair" (RFC
// 7296, Section 2.8).
func (p *pair) firstInbound() {
	if p.state == pairLive && p.chain.best() == p {
		p.activate()
	}
}

// decideLiveness sends what is due: a NAT keepalive, or a liveness check to a peer that we send to
// and do not hear from.
func (s *ikeSA) decideLiveness() {
	now := s.e.handling.now
	if s.deserted(now) {
		s.end(endMoved, "our address changed, but the peer still sends to the old one")
		return
	}
	if s.keepsNATOpen() && now.Sub(s.lastSent()) >= keepaliveInterval {
		s.e.emit(Send{Path: s.net.Path, Keepalive: true})
		s.noteSent()
	}
	if s.silent(now) {
		s.probe()
	}
	s.nextCheck()
}

// silent reports whether only outgoing traffic was seen for the DPD interval, in which case
// liveness must be confirmed (RFC 7296, Section 2.4).
func (s *ikeSA) silent(now time.Time) bool {
	heard := s.lastHeard()
	if s.party.cfg.DPD <= 0 || now.Sub(heard) < s.party.cfg.DPD {
		return false
	}
	for _, p := range s.pairs {
		if p.traffic.out.After(heard) {
			return true
		}
	}
	return false
}

// probe sends a liveness check, unless another request serves as one.
func (s *ikeSA) probe() {
	if s.state != saEstablished || !s.work.Idle() {
		return
	}
	s.enqueue(&informational{})
}

// livenessHint probes because an unprotected message claims that the peer has lost the SA. "A node
// should treat such a message [...] as a hint that there might be problems with SAs to that IP
// address and should initiate a liveness check [...]. An implementation SHOULD limit the frequency
// of such tests" (RFC 7296, Section 2.21.4).
func (s *ikeSA) livenessHint() {
	now := s.e.handling.now
	if s.state != saEstablished || now.Sub(s.live.hint) < hintInterval {
		return
	}
	s.live.hint, s.live.doubt = now, true
	s.probe()
}
