package ike

import (
	"fmt"
	"net/netip"
	"time"

	"culvert/ike/timer"
)

// What a firewall between two culverts lets pass is remembered, by party: whether the NAT port
// answers, and which ESP was found not to pass (espTrial). What did not pass is not tried again
// before a pause, which doubles until ESP has gone so for a steady time.

const (
	// udpAgain is when the NAT port is first asked again after it did not answer. A few losses may
	// have been the reason. Each time the pause grows by udpFactor, up to udpAgainMost.
	udpAgain, udpAgainMost = 2 * time.Minute, 4 * time.Hour
	udpFactor              = 4
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
