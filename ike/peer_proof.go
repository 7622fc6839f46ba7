package ike

import (
	"time"

	"culvert/ike/child"
)

// A culvert answers a ProbePair, so of such a peer it can be found out whether ESP passes both ways
// before packets depend on it, and without a loss. It has to show that:
//
//	when it comes up, since its IKE may pass and its ESP may not
//	before it takes the place of one that works, unless something came lately
//	when it has become active, for long enough that the dataplane takes answers for usual
//	when packets are not answered, likewise: it may be a host behind it that is gone, and then
//	the peer may go as well
//
// Without an answer in time its packets are not answered (fellSilent).
const (
	proofEvery   = 250 * time.Millisecond
	proofTime    = time.Second            // for an answer
	hintProof    = 500 * time.Millisecond // the same, when packets were not answered already
	usualAnswers = 3                      // until the dataplane reports that there are none any more
	// provenFor is for how long a packet that came is a proof.
	provenFor = 3 * time.Second
)

// A dataProof is what is known of a proof under way.
type dataProof struct {
	since   time.Time // what comes later is an answer; zero: none is under way
	within  time.Duration
	answers int // that are missing
}

// prove has the peer show that ESP passes, if it can.
func (p *party) prove(within time.Duration, answers int) {
	d := &p.data
	if !p.answersProbes() || !d.silent.IsZero() || !d.proof.since.IsZero() {
		return
	}
	d.proof = dataProof{p.e.handling.now, within, answers}
	p.goOnProving()
}

// goOnProving sends the next probe. A peer without a Child SA has nothing to show.
func (p *party) goOnProving() {
	d := &p.data
	if d.proof.answers == 0 || !p.answersProbes() || !p.probe() {
		d.proof = dataProof{}
		return
	}
	p.e.after(&d.timer, proofEvery)
	p.e.touch(p)
}

// watchProof takes stock of a proof.
func (p *party) watchProof() {
	if d := &p.data; p.lastSeen().In.After(d.proof.since) {
		d.proof.since, d.proof.within = p.e.handling.now, max(d.proof.within, proofTime)
		d.proof.answers--
	}
	p.goOnProving()
}

// due reports whether an answer should have come.
func (d *dataProof) due(now time.Time) bool { return !d.since.IsZero() && now.Sub(d.since) >= d.within }

// proven reports whether the member may take the place of one that works. If it is not known, it is
// found out: what comes is followed by another check. Of a peer that answers no probes, answers to
// packets show it, if those of the one that works have them.
func (m *standbyMember) proven(now time.Time, active *standbyMember) bool {
	p := ownerOf(m.pol)
	switch {
	case now.Sub(p.lastSeen().In) <= provenFor, now.Sub(later(p.data.alike, p.data.idle)) <= provenFor:
		return true
	case p.answersProbes():
		p.prove(proofTime, usualAnswers)
		return false
	}
	return !active.answered() || !p.tryByCopies()
}

// lastSeen returns when something was last received and sent on any SA of the party, as far as is
// known.
func (p *party) lastSeen() (last child.Seen) {
	for _, pol := range p.policies {
		for _, q := range pol.Pairs() {
			last.In, last.Out = later(last.In, q.Seen().In), later(last.Out, q.Seen().Out)
		}
	}
	return last
}

// probe lets the peer show that packets arrive, asks what has come on the SAs, and reports whether
// there are any.
func (p *party) probe() (sent bool) {
	for _, pol := range p.policies {
		if q := pol.Sender(); q != nil { // the peer may not have the newest yet
			p.e.emit(ProbePair{ID: q.SA.ID})
			p.e.askTraffic(pol)
			sent = true
		}
	}
	return sent
}

// askTraffic asks what has come on all SAs of a policy: an answer may come on any, such as that of
// a single worker.
func (e *Engine) askTraffic(pol *child.Policy) {
	for _, q := range pol.Pairs() {
		e.emit(NeedTraffic{ID: q.SA.ID})
	}
}
