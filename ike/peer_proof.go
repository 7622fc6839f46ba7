package ike

import (
	"time"

	"culvert/ike/child"
	"culvert/internal/ipsec"
)

// A culvert answers a ProbePair, so of such a peer it can be found out whether ESP passes both ways
// before packets depend on it, and without a loss. It has to show that:
//
//	when it comes up, since its IKE may pass and its ESP may not
//	before it takes the place of one that works, unless something came lately
//	when it has become active, for long enough that the dataplanes of both sides take packets
//	from the other one for usual
//	when packets are not answered, likewise: it may be a host behind it that is gone, and then
//	the peer may go as well
//	while packets are sent and none come for long, as is usual for some
//	when the peer probes: it may hear nothing, while what it sends looks like answers
//
// Without an answer in time its packets are not answered (fellSilent).
const (
	proofEvery = 250 * time.Millisecond
	proofTime  = time.Second            // for an answer
	hintProof  = 500 * time.Millisecond // the same, when packets were not answered already
	proofMost  = 2 * time.Second        // the same, at most: while the peer sends, or its SAs are new
	// usualAnswers is how many answers, one in 0.5 s, are asked for until the dataplane reports
	// that there are none any more; activeAnswers until that of the peer does, as what the peer
	// sends unasked may hide it here.
	usualAnswers, activeAnswers = 3, 6
	// provenFor is for how long a packet that came is a proof.
	provenFor = 3 * time.Second
)

// A dataProof is what is known of a proof under way.
type dataProof struct {
	since   time.Time // what comes later is an answer; zero: none is under way
	within  time.Duration
	answers int // that are missing
}

// prove has the peer show that ESP passes for the policy, if it can. A proof under way goes on for
// as long as one that begins now.
func (m *standbyMember) prove(within time.Duration, answers int) {
	d := &m.data
	if !d.proof.since.IsZero() {
		d.proof.answers = max(d.proof.answers, answers)
		return
	}
	if !m.party().answersProbes() || !d.silent.IsZero() {
		return
	}
	d.proof = dataProof{m.group.e.handling.now, within, answers}
	m.goOnProving()
}

// probed handles the word of the dataplane that the peer probes: it may hear nothing of the policy.
// If it also asks because we do, both have their answers by now, and it goes no further. An older
// one may be from before: a peer that hears nothing any more asks after a second or two.
func (e *Engine) probed(in Probed) {
	p := e.pairs.Carried(in.ID)
	if p == nil {
		return
	}
	g := e.standby.of[p.Policy().ID]
	if g == nil {
		return
	}
	if e.handling.now.Sub(lastAnswer(p.Policy())) > proofTime {
		g.member(p.Policy()).prove(proofTime, 1)
	}
}

// goOnProving sends the next probe. A policy without a Child SA has nothing to show.
func (m *standbyMember) goOnProving() {
	d, e := &m.data, m.group.e
	if d.proof.answers == 0 || !m.party().answersProbes() || !m.probe() {
		d.proof = dataProof{}
		return
	}
	e.after(&d.timer, proofEvery)
	e.touch(m.party())
}

// watchProof takes stock of a proof.
func (m *standbyMember) watchProof() {
	if d := &m.data; lastAnswer(m.pol).After(d.proof.since) {
		d.proof.since, d.proof.within = m.group.e.handling.now, max(d.proof.within, proofTime)
		d.proof.answers--
	}
	m.goOnProving()
}

// disproven reports whether an answer to a proof under way should have come, as of when the
// dataplane last told what has. While the peer sends, it is not gone, and gets twice the time.
func (m *standbyMember) disproven() bool {
	d := &m.data
	p, seen := d.proof, lastSeen(m.pol)
	if seen.In.After(p.since) {
		p.within = min(2*p.within, proofMost)
	}
	return !p.since.IsZero() && d.told.Sub(p.since) >= p.within && !lastAnswer(m.pol).After(p.since)
}

// proven reports whether the member may take the place of one that works. If it is not known, it is
// found out: what comes is followed by another check. Of a peer that answers no probes, answers to
// packets show it, if those of the one that works have them.
func (m *standbyMember) proven(now time.Time, active *standbyMember) bool {
	switch {
	case now.Sub(lastAnswer(m.pol)) <= provenFor, now.Sub(later(m.data.alike, m.data.idle)) <= provenFor:
		return true
	case m.party().answersProbes():
		m.prove(proofTime, usualAnswers)
		return false
	}
	return !active.answered() || !m.tryByCopies()
}

// lastSeen returns when something was last received and sent on any SA of a policy, as far as is
// known.
func lastSeen(pol *child.Policy) (last ipsec.Traffic) {
	for _, q := range pol.Pairs() {
		last.In, last.Out = later(last.In, q.Seen().In), later(last.Out, q.Seen().Out)
		last.Answered = later(last.Answered, q.Seen().Answered)
	}
	return last
}

// lastAnswer returns when something last came that shows that packets of a policy arrive: from a
// culvert an answer to a probe, since all else may be sent by a peer that receives nothing; from
// any other peer whatever came.
func lastAnswer(pol *child.Policy) time.Time {
	seen := lastSeen(pol)
	if ownerOf(pol).answersProbes() {
		return seen.Answered
	}
	return seen.In
}

// probe lets the peer show that packets arrive, asks what has come on the policy's SAs, and reports
// whether there are any.
func (m *standbyMember) probe() bool {
	q := m.pol.Sender() // the peer may not have the newest yet
	if q == nil {
		return false
	}
	m.group.e.emit(ProbePair{ID: q.SA.ID})
	m.group.e.askTraffic(m.pol)
	return true
}

// askTraffic asks what has come on all SAs of a policy: an answer may come on any, such as that of
// a single worker.
func (e *Engine) askTraffic(pol *child.Policy) {
	for _, q := range pol.Pairs() {
		e.emit(NeedTraffic{ID: q.SA.ID})
	}
}
