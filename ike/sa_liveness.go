package ike

import (
	"culvert/ike/child"
	"culvert/ike/liveness"
	"culvert/internal/ipsec"
)

// The liveness.Monitor of an IKE SA decides. Here it gets what it needs, a timer and the times of
// packets on the Child SAs, and what is due is carried out.

func (s *ikeSA) noteSent() { s.live.Sent(s.e.handling.now) }

func (s *ikeSA) noteReceived() { s.live.Received(s.e.handling.now) }

// startLiveness sets the first check when the IKE SA is established.
func (s *ikeSA) startLiveness() {
	s.noteReceived()
	s.nextCheck()
}

// nextCheck sets the timer to the next moment at which something may be due.
func (s *ikeSA) nextCheck() {
	if at := s.live.Next(s.e.handling.now, s.livenessRules(), s.seen); !at.IsZero() {
		s.e.timers.Set(&s.check, at)
	}
}

// livenessRules returns what the configuration and the IKE SA's path and state ask for.
func (s *ikeSA) livenessRules() liveness.Rules {
	return liveness.Rules{DPD: s.party.cfg.DPD, KeepMapping: s.keepsNATOpen(), Replaceable: s.canReconnect()}
}

// keepsNATOpen reports whether we send keepalives: only the side behind the NAT does (RFC 3948,
// Section 4).
func (s *ikeSA) keepsNATOpen() bool {
	return s.net.nat.Local && s.net.Via().Keepalives && s.state == saEstablished
}

// seen yields when packets were seen on each Child SA, as far as the dataplane has reported.
func (s *ikeSA) seen(yield func(liveness.Traffic) bool) {
	for _, p := range s.children.Pairs() {
		if !yield(liveness.Traffic(p.Seen())) {
			return
		}
	}
}

// liveCheck asks the dataplane for the pairs' Traffic.
func (s *ikeSA) liveCheck() {
	if s.state != saEstablished {
		return
	}
	again, decide := s.live.Ask(s.e.handling.now, func(yield func(ipsec.ChildID) bool) {
		for _, p := range s.children.Pairs() {
			s.e.emit(NeedTraffic{ID: p.SA.ID})
			yield(p.SA.ID)
		}
	})
	s.e.timers.Set(&s.check, again)
	if decide {
		s.decideLiveness()
	}
}

// traffic handles an answer to NeedTraffic, or the report of a first packet.
func (e *Engine) traffic(in Traffic) {
	p := e.pairs.Carried(in.ID)
	if p == nil {
		return
	}
	s := saOf(p)
	p.Saw(child.Seen{In: in.LastIn, Out: in.LastOut})
	if s.live.Answered(in.ID) && s.state == saEstablished {
		s.decideLiveness()
	}
}

// decideLiveness does what is due.
func (s *ikeSA) decideLiveness() {
	for _, due := range s.live.Due(s.e.handling.now, s.livenessRules(), s.seen) {
		switch due {
		case liveness.GiveUp:
			s.end(child.EndMoved, "our address changed, but the peer still sends to the old one")
			return
		case liveness.Keepalive:
			s.e.emit(Send{Path: s.net.Path, Keepalive: true})
		case liveness.Probe:
			s.probe()
		}
	}
	s.nextCheck()
}

// silent reports whether the peer must show that it is alive.
func (s *ikeSA) silent() bool {
	return s.live.Silent(s.e.handling.now, s.livenessRules(), s.seen)
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
	if s.state == saEstablished && s.live.Hinted(s.e.handling.now) {
		s.probe()
	}
}
