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
// packets have come since; these are answers to probes alone where a Hint comes as well.
//
// Nothing is sent through a policy that is ill, so it must be found out that it works again:
//
//	ProbePair, every probeEvery   -->  something comes on its SAs: it is well
//	a new IKE SA                  -->  it is well
//	neither, for firstTrial       -->  with a peer that answers no probes: a trial, and without an
//	                                   answer the next one, later
//
// A trial while another one works is made by copies of a few packets, and costs none (tryByCopies).
// While none works all packets are sent on it. Also an answer that comes after its end makes the
// policy well.
const (
	probeEvery            = 5 * time.Second
	trialTime             = 2 * time.Second // while none works
	trialLook             = 500 * time.Millisecond
	firstTrial, lastTrial = 30 * time.Second, 90 * time.Second
)

// A dataHealth is what is known of a party's packets.
type dataHealth struct {
	silent time.Time // when it was found that they are not answered; zero: they are
	// trial is when packets were sent again without a sign that they arrive; zero: they were not.
	trial  time.Time
	trials int // in a row
	proof  dataProof
	copies copyTrial
	alike  time.Time // when packets were answered neither here nor where they are sent
	idle   time.Time // when there were no packets for a first trial
	timer  timer.Timer
}

// unanswered handles the word of the dataplane that packets to the peer are not answered any more.
// Of copies the trial says it, which also knows whether others are answered.
func (p *party) unanswered() {
	if !p.prioritized() || p.data.copies.underWay() {
		return
	}
	if p.data.silent.IsZero() && p.answersProbes() {
		p.prove(hintProof, usualAnswers)
		return
	}
	p.fellSilent()
}

// packetsUnanswered handles the same word about the IKE SA: a peer that answers neither requests
// nor packets may be ending it, and answers probes until then.
func (l *livenessCheck) packetsUnanswered() {
	if l.repeated {
		l.noAnswers = true
		l.sa.e.touch(l.sa.party)
	}
	l.sa.party.unanswered()
}

// fellSilent records that packets to the peer are not answered.
func (p *party) fellSilent() {
	d := &p.data
	if !d.silent.IsZero() && d.trial.IsZero() {
		return
	}
	p.endCopies()
	d.silent, d.trial, d.proof = p.e.handling.now, time.Time{}, dataProof{}
	p.e.after(&d.timer, probeEvery)
	p.e.touch(p)
}

// begin begins a trial by all packets.
func (d *dataHealth) begin(e *Engine) {
	d.trial = e.handling.now
	e.after(&d.timer, trialTime)
}

// verify finds out whether the packets of a member that has become active arrive: its IKE SA may be
// there while its ESP is dropped. Of a peer that answers no probes only a trial shows it, if those
// of the one before were answered.
func (m *standbyMember) verify(old *standbyMember) {
	p := ownerOf(m.pol)
	d, now := &p.data, p.e.handling.now
	switch {
	case !d.trial.IsZero():
		d.begin(p.e)
	case p.answersProbes():
		p.prove(proofTime, usualAnswers)
	case old != nil && d.silent.IsZero() && now.Sub(d.alike) > provenFor && old.answered() && !m.answered():
		d.silent = now
		d.begin(p.e)
	}
}

// answered reports whether something was received on the member's SAs.
func (m *standbyMember) answered() bool {
	return slices.ContainsFunc(m.pol.Pairs(), func(q *child.Pair) bool { return !q.Seen().In.IsZero() })
}

// askTraffic asks what was received on the SAs of the members, for verify.
func (g *standbyGroup) askTraffic() {
	for _, m := range g.members {
		g.e.askTraffic(m.pol)
	}
}

// watchData asks what has come on a party's SAs, and lets the peer show that packets arrive.
func (p *party) watchData() {
	d, now := &p.data, p.e.handling.now
	switch {
	case d.copies.underWay():
		p.watchCopies()
		return
	case d.silent.IsZero():
		p.watchProof()
		return
	}
	p.probe()
	if d.trial.IsZero() && !p.answersProbes() && now.Sub(d.silent) >= min(firstTrial<<min(d.trials, 8), lastTrial) {
		d.trials++
		if p.tryByCopies() {
			return
		}
		d.trial = now
	}
	if p.e.after(&d.timer, probeEvery); p.inTrial() {
		p.e.after(&d.timer, trialLook) // few packets may flow
	}
	p.e.touch(p)
}

// inTrial reports whether packets are sent for a trial.
func (p *party) inTrial() bool {
	return !p.data.trial.IsZero() && slices.ContainsFunc(p.policies, func(pol *child.Policy) bool {
		g := p.e.standby.of[pol.ID]
		return g != nil && g.active != nil && g.active.pol == pol
	})
}

// answersProbes reports whether the peer is a culvert, which answers a ProbePair.
func (p *party) answersProbes() bool {
	s := p.main()
	return s != nil && s.net.follows
}

// judgeData draws the conclusions from the packets that were seen.
func (p *party) judgeData() {
	d, now := &p.data, p.e.handling.now
	if d.copies.underWay() {
		p.judgeCopies()
	}
	if d.silent.IsZero() {
		if d.proof.due(now) && !p.lastSeen().In.After(d.proof.since) {
			p.fellSilent()
		}
		return
	}
	switch {
	case p.lastSeen().In.After(d.silent):
		p.dataWorks()
	case !d.trial.IsZero() && p.lastSeen().Out.Sub(d.trial) >= trialTime/2 && now.Sub(d.trial) >= trialTime:
		p.fellSilent()
	}
}

// reconnected forgets a silence, as the IKE SA is a new one. A proof goes on with its Child SAs.
func (p *party) reconnected() {
	if d := &p.data; !d.proof.since.IsZero() {
		d.proof.since, d.proof.within = p.e.handling.now, 2*proofTime
		return
	}
	p.dataWorks()
}

// dataWorks forgets a silence.
func (p *party) dataWorks() {
	p.endCopies()
	p.e.timers.Stop(&p.data.timer)
	d := &p.data
	d.silent, d.trial, d.trials, d.proof = time.Time{}, time.Time{}, 0, dataProof{}
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
// One that is up and ill is not waited for.
func (m *standbyMember) comingUp() bool {
	p := ownerOf(m.pol)
	if !m.canComeUp() || m.pol.Sends() {
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
// packet has come since it was first sent, or packets are not answered either, or it had to be
// repeated for long.
func (l *livenessCheck) unanswered() bool {
	s := l.sa
	if !l.repeated {
		return s.succ.outlook == outlookSilent
	}
	if s.succ.outlook == outlookSilent || l.noAnswers || l.ignored() {
		return true
	}
	for _, q := range s.children.Pairs() {
		if q.Seen().In.After(l.asked) {
			return false
		}
	}
	return true
}
