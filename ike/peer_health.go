package ike

import (
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
)

// What a policy of a group is worth is judged by its packets. An IKE SA may live while ESP is
// dropped on its way: packets that suddenly are not answered make a policy ill although its peer
// answers IKE (Hint). A request without an answer makes it ill after the first repetition, unless
// packets have come since.
//
// Nothing is sent through a policy that is ill, so it must be found out that it works again:
//
//	ProbePair, every probeEvery   -->  something comes on its SAs: it is well
//	a new IKE SA                  -->  it is well
//	neither, for firstTrial       -->  with a peer that may not answer probes: it is sent on for
//	                                   trialTime; without an answer it is ill again,
//	                                   and the next trial is later
const (
	probeEvery            = 5 * time.Second
	trialTime             = 2 * time.Second
	firstTrial, lastTrial = 5 * time.Minute, time.Hour
)

// A dataHealth is what is known of a party's packets.
type dataHealth struct {
	silent time.Time // when it was found that they are not answered; zero: they are
	trial  time.Time // when packets were sent again without a sign that they arrive; zero: they were not
	trials int       // in a row
	timer  timer.Timer
}

// fellSilent records that packets to the peer are not answered any more.
func (p *party) fellSilent() {
	d, now := &p.data, p.e.handling.now
	if !p.prioritized() || !d.silent.IsZero() && d.trial.IsZero() {
		return
	}
	d.silent, d.trial = now, time.Time{}
	p.e.after(&d.timer, probeEvery)
	p.e.touch(p)
}

// tryAgain begins the trial of packets on a policy that has become active.
func (d *dataHealth) tryAgain(e *Engine) {
	if !d.trial.IsZero() {
		d.trial = e.handling.now
		e.after(&d.timer, trialTime)
	}
}

// prove begins a trial of a member that takes the place of one whose packets are answered, if
// nothing has come on its own SAs: its IKE SA may be there while its ESP is dropped.
func (m *standbyMember) prove(old *standbyMember) {
	p := ownerOf(m.pol)
	if d, now := &p.data, p.e.handling.now; d.silent.IsZero() && old.answered() && !m.answered() {
		d.silent, d.trial = now, now
		p.e.after(&d.timer, trialTime)
	}
}

// answered reports whether something was received on the member's SAs.
func (m *standbyMember) answered() bool {
	return slices.ContainsFunc(m.pol.Pairs(), func(q *child.Pair) bool { return !q.Seen().In.IsZero() })
}

// askTraffic asks what was received on the SAs of the members, for prove.
func (g *standbyGroup) askTraffic() {
	for _, m := range g.members {
		if q := m.pol.Sender(); q != nil {
			g.e.emit(NeedTraffic{ID: q.SA.ID})
		}
	}
}

// watchData asks what has come on a party's SAs, and lets the peer show that packets arrive.
func (p *party) watchData() {
	d, now := &p.data, p.e.handling.now
	for _, pol := range p.policies {
		if q := pol.Sender(); q != nil { // the peer may not have the newest yet
			p.e.emit(ProbePair{ID: q.SA.ID})
			p.e.emit(NeedTraffic{ID: q.SA.ID})
		}
	}
	if d.trial.IsZero() && !p.answersProbes() && now.Sub(d.silent) >= min(firstTrial<<min(d.trials, 8), lastTrial) {
		d.trial = now
		d.trials++
	}
	p.e.after(&d.timer, probeEvery)
	p.e.touch(p)
}

// answersProbes reports whether the peer is a culvert, which answers a ProbePair.
func (p *party) answersProbes() bool {
	s := p.main()
	return s != nil && s.net.follows
}

// judgeData draws the conclusions from the packets that were seen.
func (p *party) judgeData() {
	d, now := &p.data, p.e.handling.now
	if d.silent.IsZero() {
		return
	}
	var in, out time.Time
	for _, pol := range p.policies {
		for _, q := range pol.Pairs() {
			in, out = later(in, q.Seen().In), later(out, q.Seen().Out)
		}
	}
	switch {
	case in.After(d.silent):
		p.dataWorks()
	case !d.trial.IsZero() && out.Sub(d.trial) >= trialTime/2 && now.Sub(d.trial) >= trialTime:
		p.fellSilent()
	}
}

// dataWorks forgets a silence: something has come, or the IKE SA is a new one.
func (p *party) dataWorks() {
	d := &p.data
	d.silent, d.trial, d.trials = time.Time{}, time.Time{}, 0
	p.e.timers.Stop(&d.timer)
}

// illness returns why packets should not be sent through the member, or "".
func (m *standbyMember) illness() string {
	p := ownerOf(m.pol)
	p.judgeData()
	switch q := m.pol.Best(); {
	case m.heldDown():
		return "it was taken down"
	case !m.pol.Sends() || q == nil:
		return "it has no Child SA"
	case saOf(q).live.unanswered():
		return "the peer does not answer"
	case !p.data.silent.IsZero() && p.data.trial.IsZero():
		return "packets are sent, and none come any more"
	}
	return ""
}

func (m *standbyMember) heldDown() bool { return ownerOf(m.pol).e.holds.on(m.pol.Name) != nil }

// canComeUp reports whether the policy may be brought up by us.
func (m *standbyMember) canComeUp() bool {
	p := ownerOf(m.pol)
	return !m.heldDown() && (m.pol.Base() != child.IntentDown || m.pol.Wanted()) && (p.canConnect() || p.main() != nil)
}

// comingUp reports whether the policy may be up soon: it is tried, and nothing has gone wrong yet.
func (m *standbyMember) comingUp() bool {
	p := ownerOf(m.pol)
	if !m.canComeUp() {
		return false
	}
	if s := p.main(); s != nil {
		return !s.live.unanswered() && !p.e.handling.now.Before(m.pol.NextTry())
	}
	for _, s := range p.sas {
		if s.connecting() {
			return !s.live.repeated
		}
	}
	return p.try.Fails == 0
}

// suspect notes that a request had to be repeated, and asks whether packets still come.
func (l *livenessCheck) suspect() {
	s := l.sa
	if _, path := s.work.Current().(prober); path || s.party == nil || !s.party.prioritized() {
		return
	}
	l.repeated = true
	pairs := s.children.Pairs()
	for _, q := range pairs {
		s.e.emit(NeedTraffic{ID: q.SA.ID})
	}
	if len(pairs) == 0 {
		s.e.touch(s.party)
	}
}

// unanswered reports whether the peer seems not to receive: a request had to be repeated, and no
// packet has come since it was first sent, or it had to be repeated for long.
func (l *livenessCheck) unanswered() bool {
	s := l.sa
	if !l.repeated {
		return s.succ.outlook == outlookSilent
	}
	if r := s.win.Outstanding(); s.succ.outlook == outlookSilent || r != nil && r.Repeated >= patience {
		return true
	}
	for _, q := range s.children.Pairs() {
		if q.Seen().In.After(l.asked) {
			return false
		}
	}
	return true
}
