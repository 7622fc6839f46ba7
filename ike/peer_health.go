package ike

import (
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
)

// What a policy of a group is worth is judged by its packets. An IKE SA may live while ESP is
// dropped on its way, or the peer has lost a Child SA: packets that suddenly are not answered make
// a policy ill although its peer answers IKE (Hint), and also what it sends for other policies. A
// request without an answer makes it ill after the first repetition, unless packets have come
// since, for any policy; these are answers to probes alone where a Hint comes as well.
//
// Nothing is sent through a policy that is ill, so it must be found out that it works again:
//
//	ProbePair, every probeEvery,  -->  an answer, or of a peer that answers no probes
//	or hurriedProbe if none is         anything, comes on its SAs: it is well
//	well, as packets wait
//	a new IKE SA                  -->  it is well
//	neither, for firstTrial       -->  with a peer that answers no probes: a trial, and without an
//	                                   answer the next one, later
//
// A trial while another one works is made by copies of a few packets, and costs none (tryByCopies).
// While none works all packets are sent on it. Also an answer that comes after its end makes the
// policy well.
const (
	probeEvery            = 5 * time.Second
	hurriedProbe          = 500 * time.Millisecond
	trialTime             = 2 * time.Second // while none works
	trialLook             = 500 * time.Millisecond
	firstTrial, lastTrial = 30 * time.Second, 90 * time.Second
)

// A dataHealth is what is known of a policy's packets.
type dataHealth struct {
	hinted time.Time // when the dataplane last said that they are not answered
	silent time.Time // when it was found that they are not; zero: they are
	// trial is when packets were sent again without a sign that they arrive; zero: they were not.
	trial  time.Time
	trials int       // in a row
	told   time.Time // when the dataplane last told what was received
	proof  dataProof
	copies copyTrial
	alike  time.Time // when packets were answered neither here nor where they are sent
	idle   time.Time // when there were no packets for a first trial
	timer  timer.Timer
}

// packetsUnanswered handles the word of the dataplane that packets of a policy are not answered any
// more. Of copies the trial says it, which also knows whether others are answered.
func (e *Engine) packetsUnanswered(pol *child.Policy) {
	g := e.standby.of[pol.ID]
	if g == nil {
		return
	}
	m := g.member(pol)
	d := &m.data
	d.hinted = e.handling.now
	e.touch(m.party())
	switch {
	case d.copies.underWay():
	case d.silent.IsZero() && m.party().answersProbes():
		m.prove(hintProof, usualAnswers)
	default:
		m.fellSilent()
	}
}

// toldTraffic notes that the dataplane has told what was received for a policy.
func (e *Engine) toldTraffic(pol *child.Policy) {
	if g := e.standby.of[pol.ID]; g != nil {
		g.member(pol).data.told = e.handling.now
		e.touch(ownerOf(pol))
	}
}

// fellSilent records that packets of the policy are not answered.
func (m *standbyMember) fellSilent() {
	d, e := &m.data, m.group.e
	if !d.silent.IsZero() && d.trial.IsZero() {
		return
	}
	m.endCopies()
	d.silent, d.trial, d.proof = e.handling.now, time.Time{}, dataProof{}
	e.after(&d.timer, probeEvery)
	e.touch(m.party())
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
	d, e := &m.data, m.group.e
	now := e.handling.now
	switch {
	case !d.trial.IsZero():
		d.begin(e)
	case m.party().answersProbes():
		m.prove(proofTime, activeAnswers)
	case old != nil && d.silent.IsZero() && now.Sub(d.alike) > provenFor && old.answered() && !m.answered():
		d.silent = now
		d.begin(e)
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

// watchData asks what has come on a policy's SAs, and lets the peer show that packets arrive.
func (m *standbyMember) watchData() {
	d, e := &m.data, m.group.e
	switch {
	case d.copies.underWay():
		m.watchCopies()
		return
	case d.silent.IsZero():
		m.watchProof()
		return
	}
	m.probe()
	if d.trial.IsZero() && !m.party().answersProbes() && e.handling.now.Sub(d.silent) >= min(firstTrial<<min(d.trials, 8), lastTrial) {
		d.trials++
		if m.tryByCopies() {
			return
		}
		d.trial = e.handling.now
	}
	if e.after(&d.timer, probeEvery); !d.trial.IsZero() && m.group.active == m {
		e.after(&d.timer, trialLook) // few packets may flow
	}
	e.touch(m.party())
}

// hurryProbes has members that answer probes show soon that they work again: none is well.
func (g *standbyGroup) hurryProbes() {
	for _, m := range g.members {
		if !m.data.silent.IsZero() && m.pol.Sends() && m.party().answersProbes() {
			g.e.timers.Hasten(&m.data.timer, g.e.handling.now.Add(hurriedProbe))
		}
	}
}

// answersProbes reports whether the peer is a culvert, which answers a ProbePair.
func (p *party) answersProbes() bool {
	s := p.main()
	return s != nil && s.net.follows
}

// judgeData draws the conclusions from the packets that were seen.
func (m *standbyMember) judgeData() {
	d, now := &m.data, m.group.e.handling.now
	if d.copies.underWay() {
		m.judgeCopies()
	}
	if d.silent.IsZero() {
		if m.disproven() {
			m.fellSilent()
		}
		return
	}
	switch {
	case lastAnswer(m.pol).After(d.silent):
		m.dataWorks()
	case !d.trial.IsZero() && lastSeen(m.pol).Out.Sub(d.trial) >= trialTime/2 && now.Sub(d.trial) >= trialTime:
		m.fellSilent()
	}
}

// reconnected forgets the silences of the party's policies, as the IKE SA is a new one. A proof
// goes on with its Child SAs, and does not begin again: whatever the peer does, it is left in time.
// One that is active has to show again that packets arrive, as it may take none for usual.
func (p *party) reconnected() {
	for _, pol := range p.policies {
		g := p.e.standby.of[pol.ID]
		if g == nil {
			continue
		}
		m := g.member(pol)
		if d := &m.data; !d.proof.since.IsZero() {
			d.proof.within = proofMost
			continue
		}
		m.dataWorks()
		if m == g.active {
			m.prove(proofMost, activeAnswers)
		}
	}
}

// dataWorks forgets a silence.
func (m *standbyMember) dataWorks() {
	m.endCopies()
	d := &m.data
	m.group.e.timers.Stop(&d.timer)
	d.silent, d.trial, d.trials, d.proof = time.Time{}, time.Time{}, 0, dataProof{}
}

// illness returns why packets should not be sent through the member, or "".
func (m *standbyMember) illness() string {
	m.judgeData()
	switch q := m.pol.Best(); {
	case m.heldDown():
		return "it was taken down"
	case !m.pol.Sends() || q == nil:
		return "it has no Child SA"
	case saOf(q).live.unanswered(m.data.hinted):
		return "the peer does not answer"
	case !m.data.silent.IsZero() && m.data.trial.IsZero():
		return "packets are sent, and none come any more"
	}
	return ""
}

func (m *standbyMember) heldDown() bool { return m.group.e.holds.on(m.pol.Name) != nil }

// canComeUp reports whether the policy may be brought up by us.
func (m *standbyMember) canComeUp() bool {
	p := m.party()
	return !m.heldDown() && (m.pol.Base() != child.IntentDown || m.pol.Wanted()) && (p.canConnect() || p.main() != nil)
}

// comingUp reports whether the policy may be up soon: it is tried, and nothing has gone wrong yet.
// One that is up and ill is not waited for.
func (m *standbyMember) comingUp() bool {
	p := m.party()
	if !m.canComeUp() || m.pol.Sends() {
		return false
	}
	if s := p.main(); s != nil {
		return !s.live.unanswered(m.data.hinted) && !p.e.handling.now.Before(m.pol.NextTry())
	}
	for _, s := range p.sas {
		if s.connecting() {
			return s.live.repeated.IsZero()
		}
	}
	return p.try.Fails == 0
}

// suspect notes that a request had to be repeated, and asks whether packets still come. A question
// that went to another address alone tells nothing of the peer's.
func (l *livenessCheck) suspect() {
	s := l.sa
	if _, path := s.work.Current().(prober); path || s.party == nil || !s.party.prioritized() {
		return
	}
	if before := s.win.Outstanding().Repeated - 1; !slices.Contains(s.net.pathsOf(before), s.net.Path) {
		return
	}
	if l.repeated.IsZero() {
		l.repeated = s.e.handling.now
	}
	pairs := s.children.Pairs()
	for _, q := range pairs {
		s.e.emit(NeedTraffic{ID: q.SA.ID})
	}
	if len(pairs) == 0 {
		s.e.touch(s.party)
	}
}

// unanswered reports whether the peer seems not to receive the packets of a policy: a request had
// to be repeated, and no packet has come since it was first sent, or the policy's packets are not
// answered either, as the dataplane last said at the given time, or it had to be repeated for long.
// A peer that answers neither may be ending the IKE SA, and answers probes until then.
func (l *livenessCheck) unanswered(hinted time.Time) bool {
	s := l.sa
	if l.repeated.IsZero() {
		return s.succ.outlook == outlookSilent
	}
	if s.succ.outlook == outlookSilent || !hinted.Before(l.repeated) || l.ignored() {
		return true
	}
	for _, q := range s.children.Pairs() {
		if q.Seen().In.After(l.asked) {
			return false
		}
	}
	return true
}
