package ike

import (
	"culvert/ike/child"
	"culvert/ike/liveness"
	"culvert/ike/timer"
	"culvert/internal/ipsec"
)

// A livenessCheck finds out whether the peer of an IKE SA is alive. The monitor decides. Here it
// gets what it needs, a timer and the times of packets on the Child SAs, and what is due is carried
// out.
type livenessCheck struct {
	liveness.Monitor[ipsec.ChildID]
	sa    *ikeSA
	timer timer.Timer
}

func (l *livenessCheck) noteSent() { l.Sent(l.sa.e.handling.now) }

func (l *livenessCheck) noteReceived() { l.Received(l.sa.e.handling.now) }

// begin sets the first check when the IKE SA is established.
func (l *livenessCheck) begin() {
	l.noteReceived()
	l.schedule()
}

// schedule sets the timer to the next moment at which something may be due.
func (l *livenessCheck) schedule() {
	if at := l.Next(l.sa.e.handling.now, l.rules(), l.seen); !at.IsZero() {
		l.sa.e.timers.Set(&l.timer, at)
	}
}

// rules returns what the configuration and the IKE SA's path and state ask for.
func (l *livenessCheck) rules() liveness.Rules {
	return liveness.Rules{DPD: l.sa.party.cfg.DPD, KeepMapping: l.keepsNATOpen(), Replaceable: l.sa.party.canConnect()}
}

// keepsNATOpen reports whether we send keepalives: only the side behind the NAT does (RFC 3948,
// Section 4).
func (l *livenessCheck) keepsNATOpen() bool {
	return l.sa.net.nat.Local && l.sa.net.Via().Keepalives && l.sa.state == saEstablished
}

// seen yields when packets were seen on each Child SA, as far as the dataplane has reported.
func (l *livenessCheck) seen(yield func(liveness.Traffic) bool) {
	for _, p := range l.sa.children.Pairs() {
		if !yield(liveness.Traffic(p.Seen())) {
			return
		}
	}
}

// look asks the dataplane for the pairs' Traffic.
func (l *livenessCheck) look() {
	if l.sa.state != saEstablished {
		return
	}
	again, decide := l.Ask(l.sa.e.handling.now, func(yield func(ipsec.ChildID) bool) {
		for _, p := range l.sa.children.Pairs() {
			l.sa.e.emit(NeedTraffic{ID: p.SA.ID})
			yield(p.SA.ID)
		}
	})
	l.sa.e.timers.Set(&l.timer, again)
	if decide {
		l.decide()
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
		s.live.decide()
	}
}

// decide does what is due.
func (l *livenessCheck) decide() {
	for _, due := range l.Due(l.sa.e.handling.now, l.rules(), l.seen) {
		switch due {
		case liveness.GiveUp:
			l.sa.end(child.EndMoved, "our address changed, but the peer still sends to the old one")
			return
		case liveness.Keepalive:
			l.sa.e.emit(Send{Path: l.sa.net.Path, Keepalive: true})
		case liveness.Probe:
			l.probe()
		}
	}
	l.schedule()
}

// silent reports whether the peer must show that it is alive.
func (l *livenessCheck) silent() bool {
	return l.Silent(l.sa.e.handling.now, l.rules(), l.seen)
}

// probe sends a liveness check, unless another request serves as one.
func (l *livenessCheck) probe() {
	if l.sa.state != saEstablished || !l.sa.work.Idle() {
		return
	}
	l.sa.enqueue(&informational{})
}

// hint probes because an unprotected message claims that the peer has lost the SA. "A node
// should treat such a message [...] as a hint that there might be problems with SAs to that IP
// address and should initiate a liveness check [...]. An implementation SHOULD limit the frequency
// of such tests" (RFC 7296, Section 2.21.4).
func (l *livenessCheck) hint() {
	if l.sa.state == saEstablished && l.Hinted(l.sa.e.handling.now) {
		l.probe()
	}
}
