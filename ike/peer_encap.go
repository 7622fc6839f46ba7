package ike

import (
	"fmt"
	"net/netip"
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
//	ESP         -->       probes for a while, and nothing comes
//	HDR, SK {}  <-->      the path is there
//	ESP         -->       probes again, and nothing comes
//	HDR, SK {}  <-->      the path is there still
//
// What did not pass is not tried again before a pause, which doubles until ESP has gone so for a
// steady time.

const (
	// udpAgain is when the NAT port is first asked again after it did not answer. A few losses may
	// have been the reason. Each time the pause grows by udpFactor, up to udpAgainMost.
	udpAgain, udpAgainMost = 2 * time.Minute, 4 * time.Hour
	udpFactor              = 4
	// espProbes is how many probes, one each espProbeEvery, have no answer before the peer is asked
	// by IKE.
	espProbes     = 6
	espProbeEvery = 250 * time.Millisecond
	// setbackLeast and setbackMost are the pauses before a carriage that did not pass is tried
	// again, while the other one does not pass either.
	setbackLeast, setbackMost = 20 * time.Second, time.Hour
	// steadyFor is for how long ESP goes by a carriage, and is not found not to pass, until that
	// counts as passing.
	steadyFor = time.Minute
)

// A setback is that ESP did not pass by one carriage; zero: it did, or it was not found out.
type setback struct {
	last  time.Time // when that was found
	at    time.Time // when the pause began
	pause time.Duration
}

// note notes that ESP does not pass, which goes so since a time. The pause grows once for each time
// that it has ended, and is the shortest again after a steady time.
func (b *setback) note(now, since time.Time) {
	if now.Sub(later(b.last, since)) >= steadyFor {
		b.pause = 0
	}
	b.last = now
	if b.tryable(now) {
		b.at, b.pause = now, min(max(setbackLeast, 2*b.pause), setbackMost)
	}
}

func (b *setback) stands() bool { return b.pause > 0 }

// tryable reports whether the carriage may be tried.
func (b *setback) tryable(now time.Time) bool { return now.Sub(b.at) >= b.pause }

// An encapMemory is what a party's packets have shown between two addresses.
type encapMemory struct {
	p             *party
	local, remote netip.Addr
	esp           [carriages]setback
	blocked       bool // it was told that none passes
	port          portMemory
	trial         espTrial
}

// A portMemory is that the NAT port did not answer, or that ESP did not pass there.
type portMemory struct {
	silent bool          // it did not answer, while the IKE port did
	failed time.Time     // when that was found, and the pause grew
	pause  time.Duration // before it is asked again
	again  timer.Timer
}

// An espTrial finds out whether ESP passes.
type espTrial struct {
	on    ipsec.Path // of the IKE SA; not valid: there is no trial
	since time.Time  // of the first probe: what comes later is an answer
	left  int        // probes to be sent still
	final bool       // the peer has answered IKE before them
	next  timer.Timer
}

// bind makes the memory that of a party.
func (m *encapMemory) bind(p *party) {
	m.p, m.port.again.Fire, m.trial.next.Fire = p, m.askPort, m.probe
}

// between forgets what was between other addresses.
func (m *encapMemory) between(n *network) {
	if l, r := n.Local().Addr(), n.Remote().Addr(); m.local != l || m.remote != r {
		m.stop()
		*m = encapMemory{p: m.p, local: l, remote: r, port: portMemory{again: m.port.again}, trial: espTrial{next: m.trial.next}}
	}
}

// stop ends the timers.
func (m *encapMemory) stop() {
	m.p.e.timers.Stop(&m.port.again)
	m.p.e.timers.Stop(&m.trial.next)
}

// fails reports whether something speaks against a carriage on the path.
func (m *encapMemory) fails(n *network, c carriage) bool {
	if m.local != n.Local().Addr() || m.remote != n.Remote().Addr() {
		return false
	}
	return m.esp[c].stands() || c == overUDP && m.port.silent
}

// choice returns the carriage with which a new IKE SA begins: the faster one of those that pass.
func (m *encapMemory) choice(n *network) carriage {
	if m.fails(n, faster) && !m.fails(n, 1-faster) {
		return 1 - faster
	}
	return faster
}

// portFailed notes that the NAT port does not answer, and has it asked again later.
func (m *encapMemory) portFailed(n *network) {
	m.between(n)
	r, now := &m.port, m.p.e.handling.now
	if !r.silent && now.Sub(r.failed) > udpAgainMost {
		r.pause = 0
	}
	if now.Sub(r.failed) >= r.pause {
		r.failed, r.pause = now, min(max(udpAgain, r.pause*udpFactor), udpAgainMost)
	}
	r.silent = true
	m.askLater()
}

// portAnswers notes that it does.
func (m *encapMemory) portAnswers(n *network) {
	m.between(n)
	m.port.silent = false
	m.p.e.timers.Stop(&m.port.again)
}

// otherPortFailed notes that a request was answered at the present port only. One that was sent at
// both, since the present one had not answered, shows nothing.
func (m *encapMemory) otherPortFailed(n *network, c *pathCheck) {
	if c.port == portSilent {
		return
	}
	if carriageOf(c.to) == overUDP {
		m.portFailed(n)
	}
	if m.between(n); c.port == portESP {
		now := m.p.e.handling.now
		m.esp[carriageOf(c.to)].note(now, now)
	}
}

// askLater has the NAT port asked again: after its own pause if it did not answer, and after the
// longest one if ESP did not pass there.
func (m *encapMemory) askLater() {
	pause := udpAgainMost
	if m.port.silent {
		pause = m.port.pause
	}
	m.p.e.after(&m.port.again, pause)
}

// askPort asks whether the NAT port answers by now.
func (m *encapMemory) askPort() {
	m.askLater()
	if s := m.p.main(); s != nil && m.fails(&s.net, overUDP) && carriageOf(s.net.Path) == overIP {
		s.net.askOtherPort(portAgain)
	}
}

// doubtESP finds out whether ESP passes on an IKE SA with a culvert, as far as anything else could
// be done. Where it could not, a probe lets the peer find out that what it sends does not pass.
func (n *network) doubtESP() {
	p := n.sa.party
	switch m := &p.memory; {
	case m.mayTry(n):
		m.begin(false)
	case !m.trial.on.IsValid() && n.sa.usable() && p.answersProbes():
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

// answered reports whether something came for the policies of the Child SAs that were asked, which
// ends the trial. ESP passes as it goes if it came so: the peer may send beside another IKE SA.
func (m *encapMemory) answered(asked []*child.Pair) bool {
	came := false
	for _, a := range asked {
		for _, q := range a.Policy().Pairs() {
			if !q.Seen().In.After(m.trial.since) {
				continue
			}
			came = true
			if s, c := saOf(q), carriageOf(m.trial.on); s != nil && carriageOf(s.net.Path) == c {
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

// align has a new IKE SA beside which ESP is known not to pass go where it may.
func (m *encapMemory) align(n *network) {
	is := carriageOf(n.Path)
	if n.tied() && m.fails(n, is) && m.esp[is].stands() && !m.fails(n, 1-is) {
		n.askOtherPort(portESP)
	}
}

// follow has the party's other IKE SAs go where one has gone, for the same reason. Either side may
// have begun one, and packets are sent beside any of them: that none come beside one may be due to
// another.
func (m *encapMemory) follow(n *network, r portReason) {
	for _, s := range m.p.sas {
		o := &s.net
		if s.usable() && o.tied() && o.Local().Addr() == n.Local().Addr() && o.Remote().Addr() == n.Remote().Addr() && carriageOf(o.Path) != carriageOf(n.Path) {
			o.askOtherPort(r)
		}
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
		g.member(p.Policy()).prove(2*proofTime, 1) // there is no hurry
	}
}

// whyEncap describes why ESP is encapsulated or not.
func (n *network) whyEncap() string {
	switch cfg := n.sa.party.cfg.Encap; {
	case n.Stream():
		return "the connection carries it"
	case cfg == EncapNever:
		return `encap = "never"`
	case cfg == EncapAlways && n.encap == encapUsed:
		return `encap = "always"`
	case n.nat != NATState{}:
		return "there is a NAT"
	case !n.encap.possible():
		return "the peer has no NAT traversal"
	case !n.tied():
		return "there is no NAT"
	}
	return n.sa.party.memory.why(n)
}

// why describes why ESP with a culvert goes as it does.
func (m *encapMemory) why(n *network) string {
	switch is := carriageOf(n.Path); {
	case is == overUDP && m.fails(n, overIP):
		return "protocol 50 did not arrive"
	case is == faster:
		return "both sides are culvert"
	case m.fails(n, overUDP) && m.esp[overUDP].stands():
		return "ESP in UDP did not arrive"
	case m.fails(n, overUDP):
		return fmt.Sprintf("UDP port %d did not answer", n.otherPort().Remote().Port())
	case n.sa.party.cfg.RemotePort == n.sa.party.cfg.RemoteNATPort:
		return "there is no NAT"
	}
	return "the peer chose it"
}
