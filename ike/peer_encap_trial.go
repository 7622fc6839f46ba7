package ike

import (
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
	"culvert/internal/ipsec"
)

// A firewall between two culverts may let IKE pass and not ESP. Packets are sent then, and none
// come, while the peer answers IKE. ESP takes the other way then: in UDP instead of as protocol 50,
// or the reverse. That nothing comes may also be the nature of the traffic, or an outage of both. A
// culvert answers a ProbePair, so it is asked first:
//
//	ESP         -->       probes for a while, and none is answered
//	HDR, SK {}  <-->      the path is there
//	ESP         -->       probes again, and none is answered
//	HDR, SK {}  <-->      the path is there still

const (
	// espProbes is how many probes, one each espProbeEvery, have no answer before the peer is asked
	// by IKE.
	espProbes     = 6
	espProbeEvery = 250 * time.Millisecond
)

// An espTrial finds out whether ESP passes.
type espTrial struct {
	on    ipsec.Path // of the IKE SA; not valid: there is no trial
	since time.Time  // of the first probe
	left  int        // probes to be sent still
	final bool       // the peer has answered IKE before them
	next  timer.Timer
}

// doubtESP finds out whether ESP passes on an IKE SA with a culvert, as far as anything else could
// be done. Where it could not, or while a trial waits for an answer to IKE, a probe lets the peer
// find out that what it sends does not pass.
func (n *network) doubtESP() {
	p := n.sa.party
	switch m := &p.memory; {
	case m.mayTry(n):
		m.begin(false)
	case n.sa.usable() && p.answersProbes():
		p.probeAll()
	}
}

// probeAll sends a probe for each policy.
func (p *party) probeAll() {
	for _, pol := range p.policies {
		if q := pol.Sender(); q != nil { // the peer may not have the newest yet
			p.e.emit(ProbePair{ID: q.SA.ID})
		}
	}
}

// tryESP is doubtESP where the peer has just answered IKE.
func (n *network) tryESP() {
	if m := &n.sa.party.memory; m.mayTry(n) {
		m.begin(true)
	}
}

// mayTry reports whether a trial is to be made, and takes its place.
func (m *encapMemory) mayTry(n *network) bool {
	if m.between(n); !n.sa.usable() || m.p.cfg.Encap != EncapAuto || !n.otherPort().IsValid() || m.trial.on.IsValid() {
		return false
	}
	m.trial.on = n.Path
	return true
}

// begin sends the first probe. final: the peer has answered IKE just now.
func (m *encapMemory) begin(final bool) {
	t := &m.trial
	t.since, t.left, t.final = m.p.e.handling.now, espProbes, final
	m.probe()
}

// cancel ends a trial without a conclusion.
func (m *encapMemory) cancel() {
	m.trial.on = ipsec.Path{}
	m.p.e.timers.Stop(&m.trial.next)
}

// probe sends the next probe. If none was answered, the peer is asked by IKE.
func (m *encapMemory) probe() {
	asked := m.asked()
	switch t := &m.trial; {
	case len(asked) == 0:
		m.cancel()
	case m.answered(asked):
	case t.left > 0:
		t.left--
		for _, q := range asked { // the peer may not have the newest yet
			m.p.e.emit(ProbePair{ID: q.SA.ID})
			m.p.e.askTraffic(q.Policy())
		}
		m.p.e.after(&t.next, espProbeEvery)
	default:
		saOf(asked[0]).enqueue(&informational{then: m.alive, otherwise: m.cancel})
	}
}

// asked returns the Child SAs that a trial is about, by which the peer is asked: those that send,
// of IKE SAs on its path. There may be another IKE SA, which the peer has begun, at the other port.
// None: what was in doubt is gone, or goes otherwise.
func (m *encapMemory) asked() (asked []*child.Pair) {
	for _, pol := range m.p.policies {
		for _, q := range pol.Senders() {
			if s := saOf(q); s.usable() && s.net.Path == m.trial.on && s.net.tied() {
				asked = append(asked, q)
			}
		}
	}
	return asked
}

// answered reports whether a probe was answered for the policies of the Child SAs that were asked,
// which ends the trial. What else comes shows nothing, as the peer also sends while it receives
// nothing. ESP passes as it goes if something came so: the peer may send beside another IKE SA.
func (m *encapMemory) answered(asked []*child.Pair) bool {
	came, c := false, carriageOf(m.trial.on)
	for _, a := range asked {
		if !lastAnswer(a.Policy()).After(m.trial.since) {
			continue
		}
		came = true
		for _, q := range a.Policy().Pairs() {
			if s := saOf(q); s != nil && carriageOf(s.net.Path) == c && q.Seen().In.After(m.trial.since) {
				m.esp[c], m.blocked = setback{}, false
			}
		}
	}
	if came {
		m.cancel()
	}
	return came
}

// alive goes on with a trial when the peer has answered IKE after the probes.
func (m *encapMemory) alive() {
	asked := m.asked()
	switch {
	case len(asked) == 0:
		m.cancel()
	case m.answered(asked):
	case !m.trial.final:
		m.begin(true)
	default:
		m.cancel()
		m.silent(saOf(asked[0]))
	}
}

// silent has ESP take the other way, since it does not pass as it goes.
func (m *encapMemory) silent(s *ikeSA) {
	n := &s.net
	now, is := m.p.e.handling.now, carriageOf(n.Path)
	m.esp[is].note(now, later(s.life.established, n.turned))
	if other := &m.esp[1-is]; other.tryable(now) {
		n.askOtherPort(portESP)
	} else if !m.blocked {
		m.blocked = true
		s.notice(Warn, "esp-blocked", "ESP does not arrive, neither in UDP nor as IP protocol 50, while the peer answers IKE; allow either on the way")
	}
}

// unheard handles the word of the dataplane that packets were sent on a pair for some time, and
// none came.
func (e *Engine) unheard(in Unheard) {
	p := e.pairs.Carried(in.ID)
	if p == nil {
		return
	}
	saOf(p).net.doubtESP()
	if g := e.standby.of[p.Policy().ID]; g != nil {
		g.member(p.Policy()).prove(proofMost, 1) // there is no hurry
	}
}
