package ike

import (
	"slices"
	"time"

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
	doubt time.Duration // how long a check after a hint may take
	// lacked is when the peer last said of a Child SA that it does not know it.
	lacked time.Time
	asked  time.Time // when the last request was first sent
	// repeated is when a request had to be sent again, and nothing authentic has come since; zero:
	// none had.
	repeated time.Time
	// denied is how often the peer said that it does not know the IKE SA, since it is being
	// deleted, in answer to the outstanding request, and deniedAt how often that had been sent by
	// the last time.
	denied, deniedAt int
	// copies is how often the outstanding request had been repeated when askHeard last sent it.
	copies int
}

// noteAsked notes a new request.
func (l *livenessCheck) noteAsked() {
	l.asked, l.repeated, l.copies = l.sa.e.handling.now, time.Time{}, 0
	l.denied, l.deniedAt = 0, 0
}

func (l *livenessCheck) noteSent() { l.Sent(l.sa.e.handling.now) }

// noteReceived notes a fresh authentic message: a response, or a request.
func (l *livenessCheck) noteReceived(response bool) {
	now := l.sa.e.handling.now
	if response && !l.Responded(now, l.asked) || !response && !l.Requested(now) {
		return
	}
	l.sa.party.heard()
	if !l.repeated.IsZero() {
		l.repeated = time.Time{}
		l.sa.e.touch(l.sa.party)
	}
	l.heardAgain()
}

// begin sets the first check when the IKE SA is established.
func (l *livenessCheck) begin() {
	l.noteReceived(true)
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
	return liveness.Rules{DPD: l.sa.party.cfg.DPD, Idle: l.doubled() || l.sa.party.prioritized(), KeepMapping: l.keepsNATOpen(), Replaceable: l.sa.party.canConnect()}
}

// doubled reports whether the same peer has another IKE SA with us. If it has given up this one
// without our hearing of it, no packet is sent on this one that would show it. Of two that were
// begun at about the same time this may be either.
func (l *livenessCheck) doubled() bool {
	return slices.ContainsFunc(l.sa.party.sas, func(o *ikeSA) bool {
		return o != l.sa && o.usable() && o.sameIdentity(l.sa)
	})
}

// keepsNATOpen reports whether we send keepalives: only the side behind the NAT does (RFC 3948,
// Section 4).
func (l *livenessCheck) keepsNATOpen() bool {
	return l.sa.net.nat.Local && l.sa.net.Via().Keepalives && l.sa.state == saEstablished
}

// seen yields when packets were seen on each Child SA, as far as the dataplane has reported.
func (l *livenessCheck) seen(yield func(liveness.Traffic) bool) {
	for _, p := range l.sa.children.Pairs() {
		last := p.Seen()
		if !yield(liveness.Traffic{In: last.In, Out: last.Out, OtherPorts: p.SA.OtherPorts}) {
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
	p.Saw(in.Traffic)
	e.toldTraffic(p.Policy())
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
