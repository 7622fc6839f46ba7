package ike

import (
	"fmt"
	"net/netip"
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
)

// A firewall may let IKE pass and not ESP. Packets are sent then, and none come, while the peer
// answers IKE. Where both sides can, ESP takes the other way: in UDP instead of as protocol 50, or,
// between culverts, the reverse.
//
// That nothing comes may also be the nature of the traffic. A culvert answers a ProbePair, so it is
// asked first. Of others nothing is concluded unless nothing has ever come on the Child SA. They
// are connected to again beside the IKE SA that stands, and shown a NAT, as by EncapAlways, once
// between the same addresses, so that a wrong conclusion costs one change: UDP passes wherever IKE
// does.

// A carriage is how ESP is carried where there is no NAT.
type carriage uint8

const (
	overUDP carriage = iota
	overIP           // as protocol 50
	carriages
)

// carriageOf returns how ESP is carried beside a path of IKE to a culvert.
func carriageOf(p ipsec.Path) carriage {
	if p.Via() == ipsec.NAT {
		return overUDP
	}
	return overIP
}

const (
	// udpAgain is when the NAT port is first asked again after it did not answer. A few losses may
	// have been the reason. Each time the pause grows by udpFactor, up to udpAgainMost.
	udpAgain, udpAgainMost = 2 * time.Minute, 4 * time.Hour
	udpFactor              = 4
	// espProbes is how many probes, one each espProbeEvery, have no answer if ESP does not pass.
	espProbes     = 8
	espProbeEvery = 250 * time.Millisecond
	// turnLeast and turnMost are the pauses between changes while neither passes.
	turnLeast, turnMost = 20 * time.Second, time.Hour
)

// An encapMemory is what a party's packets have shown between two addresses.
type encapMemory struct {
	p             *party
	local, remote netip.Addr
	noESP         [carriages]bool // it was found not to pass
	noPort        bool            // the NAT port did not answer, while the IKE port did
	failed        time.Time       // when that was found, and the pause grew
	pause         time.Duration   // before it is asked again
	turnAt        time.Time       // when the other carriage is next tried while neither passes
	turnPause     time.Duration
	again         timer.Timer
	trial         timer.Timer
	since         time.Time // of the probes: what comes later is an answer; zero: none are sent
	on            ipsec.Path
	probes        int  // to be sent still
	forced        bool // the peer, not a culvert, is shown a NAT
	unforceable   bool // that did not work, or cannot be done
}

// between forgets what was between other addresses.
func (m *encapMemory) between(n *network) {
	if l, r := n.Local().Addr(), n.Remote().Addr(); m.local != l || m.remote != r {
		m.p.e.timers.Stop(&m.again)
		m.p.e.timers.Stop(&m.trial)
		*m = encapMemory{p: m.p, local: l, remote: r, again: m.again, trial: m.trial}
	}
}

// knows reports whether the memory is about the path.
func (m *encapMemory) knows(n *network) bool {
	return m.local == n.Local().Addr() && m.remote == n.Remote().Addr()
}

// refutesUDP reports whether something speaks against UDP.
func (m *encapMemory) refutesUDP(n *network) bool {
	return m.knows(n) && (m.noPort || m.noESP[overUDP])
}

// avoidsUDP reports whether a new IKE SA begins without UDP. Where protocol 50 does not pass
// either, it begins with UDP.
func (m *encapMemory) avoidsUDP(n *network) bool { return m.refutesUDP(n) && !m.noESP[overIP] }

// portFailed notes that the NAT port does not answer, and has it asked again later.
func (m *encapMemory) portFailed(n *network) {
	m.between(n)
	now := m.p.e.handling.now
	if now.Sub(m.failed) >= m.pause {
		m.failed, m.pause = now, min(max(udpAgain, m.pause*udpFactor), udpAgainMost)
	}
	m.noPort = true
	m.p.e.after(&m.again, m.pause)
}

// portAnswers notes that it does.
func (m *encapMemory) portAnswers() {
	m.noPort = false
	m.p.e.timers.Stop(&m.again)
}

// stop ends the timers.
func (m *encapMemory) stop() {
	m.p.e.timers.Stop(&m.again)
	m.p.e.timers.Stop(&m.trial)
}

// askPort asks whether the NAT port answers by now.
func (m *encapMemory) askPort() {
	m.p.e.after(&m.again, m.pause)
	if s := m.p.main(); s != nil && m.knows(&s.net) && carriageOf(s.net.Path) == overIP {
		s.net.askOtherPort("")
	}
}

// changeable reports whether ESP may be carried otherwise on an IKE SA.
func (n *network) changeable() bool {
	return n.sa.usable() && !n.Stream() && n.nat == NATState{} && n.encap.possible() && n.sa.party.cfg.Encap == EncapAuto && !n.forced
}

// doubtESP finds out whether ESP passes on an IKE SA with a culvert, as far as anything else could
// be done.
func (n *network) doubtESP() {
	m := &n.sa.party.memory
	if !n.tied() || !n.changeable() || !m.since.IsZero() || !n.otherPort().IsValid() {
		return
	}
	m.between(n)
	m.since, m.on, m.probes = m.p.e.handling.now, n.Path, espProbes
	m.probe()
}

// probe sends the next probe, or draws the conclusion if none was answered.
func (m *encapMemory) probe() {
	p := m.p
	s := p.main()
	switch {
	case p.lastESP().After(m.since):
		m.since, m.noESP[carriageOf(m.on)], m.turnPause = time.Time{}, false, 0
	case s == nil || !s.net.tied() || s.net.Path != m.on:
		m.since = time.Time{}
	case m.probes > 0:
		m.probes--
		if !p.probeESP() {
			m.since = time.Time{}
			return
		}
		p.e.after(&m.trial, espProbeEvery)
	default:
		from := m.since
		m.since = time.Time{}
		s.enqueue(&informational{then: func() { m.silent(s, from) }})
	}
}

// probeESP has the peer show that ESP passes, by each policy, and reports whether there is an SA to
// ask by.
func (p *party) probeESP() (sent bool) {
	for _, pol := range p.policies {
		if q := pol.Sender(); q != nil { // the peer may not have the newest yet
			p.e.emit(ProbePair{ID: q.SA.ID})
			p.e.askTraffic(pol)
			sent = true
		}
	}
	return sent
}

// lastESP returns when something last came on an SA of the party, as far as is known.
func (p *party) lastESP() (last time.Time) {
	for _, pol := range p.policies {
		for _, q := range pol.Pairs() {
			last = later(last, q.Seen().In)
		}
	}
	return last
}

// silent concludes that ESP does not pass, since the peer has answered IKE after the probes.
func (m *encapMemory) silent(s *ikeSA, from time.Time) {
	n := &s.net
	if !n.changeable() || !n.tied() || n.Path != m.on || m.p.lastESP().After(from) {
		return
	}
	now := carriageOf(n.Path)
	m.noESP[now] = true
	if m.noESP[1-now] && !m.mayTurn(s) {
		return
	}
	why := "protocol 50 does not arrive, while the peer answers IKE"
	if now == overUDP {
		why = "ESP in UDP does not arrive, while the peer answers IKE"
	}
	n.askOtherPort(why)
}

// mayTurn reports whether to try the other carriage, though it did not pass either: a firewall may
// have changed, or a conclusion was wrong.
func (m *encapMemory) mayTurn(s *ikeSA) bool {
	now := m.p.e.handling.now
	if m.turnPause == 0 {
		m.turnPause, m.turnAt = turnLeast, now.Add(turnLeast)
		s.notice(Warn, "esp-blocked", "ESP does not arrive, neither in UDP nor as IP protocol 50, while the peer answers IKE; allow either on the way")
		return false
	}
	if now.Before(m.turnAt) {
		return false
	}
	m.turnPause = min(2*m.turnPause, turnMost)
	m.turnAt = now.Add(m.turnPause)
	return true
}

// unheard handles the word of the dataplane that packets were sent on a pair for some time, and
// none came.
func (e *Engine) unheard(in Unheard) {
	p := e.pairs.Carried(in.ID)
	if p == nil || p.SA.Path.Stream() {
		return
	}
	s := saOf(p)
	n := &s.net
	if n.tied() {
		n.doubtESP()
		return
	}
	if !in.Never || !n.changeable() || n.encap != encapPossible || s.party.memory.unforceable {
		return
	}
	for _, pol := range s.party.policies {
		e.askTraffic(pol)
	}
	s.enqueue(&informational{then: func() { s.forceUDP() }})
}

// forceUDP has another IKE SA take the place of one with a peer that is not a culvert, on which
// nothing has come as protocol 50.
func (s *ikeSA) forceUDP() {
	p, n := s.party, &s.net
	m := &p.memory
	if !n.changeable() || m.knows(n) && (m.forced || m.unforceable) || p.lastESP().After(s.life.established) {
		return
	}
	m.between(n)
	if !p.canConnect() {
		m.unforceable = true
		s.notice(Warn, "esp-blocked", `protocol 50 seems not to arrive: packets are sent and none come, while the peer answers IKE; allow it on the way, or set encap = "always"`)
		return
	}
	m.forced = true
	m.noESP[overIP] = true
	s.notice(Warn, "encap-changed", `protocol 50 seems not to arrive: packets are sent and none come, while the peer answers IKE; UDP is used from now on; to avoid this allow protocol 50 on the way, or set encap = "always"`)
	s.succ.dies(whyForced)
}

const whyForced = "protocol 50 seems not to arrive"

// unforce gives up UDP to a peer that does not answer at its NAT port. What stands goes on.
func (p *party) unforce() {
	m := &p.memory
	m.forced, m.unforceable = false, true
	p.notice(Warn, "encap-changed", "", "the peer does not answer at its UDP port either; ESP goes as IP protocol 50")
	for _, s := range p.sas {
		if s.succ.outlook == outlookDying && s.succ.why == whyForced {
			s.succ.outlook, s.succ.why = outlookGood, ""
		}
	}
}

// terms returns what we announce to the party at the path of an attempt.
func (p *party) termsOn(n *network) initTerms {
	t := p.terms()
	if p.memory.forced && p.memory.knows(n) {
		t.encap = EncapAlways
	}
	return t
}

// encapMode is the configured mode, or what has taken its place.
func (n *network) encapMode() EncapMode {
	if n.forced {
		return EncapAlways
	}
	return n.sa.party.cfg.Encap
}

// whyEncap describes why ESP is encapsulated or not.
func (n *network) whyEncap() string {
	m := &n.sa.party.memory
	switch cfg := n.sa.party.cfg.Encap; {
	case n.Stream():
		return "the connection carries it"
	case cfg == EncapNever:
		return `encap = "never"`
	case n.forced:
		return "protocol 50 did not arrive"
	case cfg == EncapAlways && n.encap == encapUsed:
		return `encap = "always"`
	case n.nat != NATState{}:
		return "there is a NAT"
	case !n.encap.possible():
		return "the peer has no NAT traversal"
	case !n.tied():
		return "there is no NAT"
	}
	return m.whyTied(n)
}

// whyTied describes why ESP with a culvert goes as it does.
func (m *encapMemory) whyTied(n *network) string {
	now := carriageOf(n.Path)
	knows := m.knows(n)
	switch {
	case now == overUDP && knows && m.noESP[overIP]:
		return "protocol 50 did not arrive"
	case now == overUDP:
		return "both sides are culvert"
	case knows && m.noESP[overUDP]:
		return "ESP in UDP did not arrive"
	case knows && m.noPort:
		return fmt.Sprintf("UDP port %d did not answer", n.otherPort().Remote().Port())
	case n.sa.party.cfg.RemotePort == n.sa.party.cfg.RemoteNATPort:
		return "there is no NAT"
	}
	return "the peer chose it"
}
