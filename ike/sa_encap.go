package ike

import (
	"fmt"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// Two culverts that welcome it (ableUDP) encapsulate ESP in UDP where there is no NAT either: it is
// what both send and receive fastest. "An initiator can use port 4500 for both IKE and ESP,
// regardless of whether or not there is a NAT, even at the beginning of IKE" (RFC 7296, Section
// 2.23). Then the port of the IKE SA says which it is: at the NAT port ESP goes in UDP, at the IKE
// port as IP protocol 50.
//
//	port 500   IKE_SA_INIT  <-->      both announce ableUDP, and there is no NAT
//	port 4500  IKE_AUTH     -->       ESP in UDP
//
// Where no answer comes at the one port, a request is sent at the other one as well, octet for
// octet the same. If it is answered there, the IKE SA goes on there; once it is established, only
// after a second such request, since after an outage either port may answer first. The peer is told
// as at any other move (sa_roam.go), by either side, and sends ESP accordingly:
//
//	port 4500  IKE_AUTH     -->       three times, and not answered
//	port 500   IKE_AUTH     <-->      the same
//	port 500   HDR, SK {N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)}  <-->
//
// Which of both did not pass is remembered (encapMemory).

// A carriage is how ESP is carried where there is no NAT.
type carriage uint8

const (
	overUDP carriage = iota
	overIP           // as protocol 50
	carriages
)

// faster is what two culverts use where both pass. Protocol 50, even past the IP stack, has 0.67 to
// 0.78 of the throughput of UDP, and takes 1.24 times its CPU (docs/measurements.md).
const faster = overUDP

// carriageOf returns how ESP is carried beside a path of IKE to a culvert.
func carriageOf(p ipsec.Path) carriage {
	if p.Via() == ipsec.NAT {
		return overUDP
	}
	return overIP
}

// How often a request is repeated before it is also sent at the other port. In the life of an IKE
// SA that must not come of a few losses.
const (
	otherPortInAuth  = 2
	otherPortInLife  = 3
	otherPortInCheck = 1 // of a question by which port the peer answers
)

// portQuestions is how many questions in a row have to be answered at the present port before the
// other one is taken not to answer. The datagram that was sent there alone may have been lost, and
// when both are asked the present one may be heard first.
const portQuestions = 3

// otherPortTime is how long an answer from the other port is awaited after each repetition.
const otherPortTime = time.Minute

// A portReason is why the peer is asked at the other port of the IKE SA.
type portReason uint8

const (
	portNone   portReason = iota // it is not
	portSilent                   // it does not answer at the present one
	portAgain                    // it may answer at the NAT port by now
	portESP                      // ESP does not pass as it goes beside the present one
)

// text returns the reason for a change to the path, in words.
func (r portReason) text(n *network, to ipsec.Path) string {
	switch {
	case r == portSilent:
		return fmt.Sprintf("UDP port %d does not answer, and port %d does", n.Remote().Port(), to.Remote().Port())
	case r == portAgain:
		return fmt.Sprintf("UDP port %d answers", to.Remote().Port())
	case carriageOf(n.Path) == overUDP:
		return "ESP in UDP does not arrive, while the peer answers IKE"
	}
	return "protocol 50 does not arrive, while the peer answers IKE"
}

// tied reports whether the port of the IKE SA says how ESP is sent.
func (n *network) tied() bool {
	return n.able&ableUDP != 0 && n.nat == NATState{} && n.encap.possible() && !n.Stream()
}

// tie has ESP sent as the port of the IKE SA says, if it does.
func (n *network) tie() {
	if !n.tied() {
		return
	}
	was := n.encap
	if n.encap = encapPossible; n.Via() == ipsec.NAT {
		n.encap = encapUsed
	}
	if n.encap != was {
		n.turned = n.sa.e.handling.now
	}
}

// confirmation returns what a responder announces in IKE_AUTH.
func (n *network) confirmation() []wire.Payload {
	a := n.able
	if n.tied() && carriageOf(n.Path) == overUDP {
		a |= atNATPort
	}
	return a.payload()
}

// confirm takes what the responder announced in IKE_AUTH, when it knew us: its entry for us may
// allow less than it announced before. A request that was sent at both ports may have come by the
// other one than the response. Then the responder is told where we are.
func (n *network) confirm(theirs abilities) {
	was := n.tied()
	n.able &= theirs
	switch {
	case was && !n.tied():
		n.encap = encapPossible
	case n.tied() && (theirs&atNATPort != 0) != (carriageOf(n.Path) == overUDP):
		n.unsaid = true
	}
}

// otherPort returns the path at the other port of both hosts; it is not valid if there is none.
func (n *network) otherPort() ipsec.Path {
	p, cfg := n.sa.party, &n.sa.e.cfg
	switch {
	case p == nil || !n.tied() || p.cfg.RemotePort == p.cfg.RemoteNATPort:
		return ipsec.Path{}
	case n.Via() == ipsec.NAT:
		return n.ToIKEPort(cfg.IKEPort, p.cfg.RemotePort)
	}
	return n.ToNATPort(cfg.NATPort, p.cfg.RemoteNATPort)
}

// tryOtherPort has the outstanding request also sent at the other port, if its repetitions were not
// answered. An announcement says at which port it is sent, so it cannot be.
func (n *network) tryOtherPort() {
	s := n.sa
	x, informs := s.work.Current().(*informational)
	after := otherPortInLife
	switch {
	case s.state == saAuthenticating:
		after = otherPortInAuth
	case !s.usable() && s.state != saClosing, informs && x.kind == askMove:
		return
	}
	r, now := s.win.Outstanding(), s.e.handling.now
	switch to := n.otherPort(); {
	case n.checking() && n.check.port != portNone && n.check.id == r.ID:
		n.check.until = now.Add(otherPortTime) // it goes there once more
	case r.Repeated >= after && !n.checking() && to.IsValid() && n.ask(to, portSilent):
		n.check.id, n.check.asked = r.ID, true
	}
}

// asksPort reports whether an exchange is a question by which port the peer answers.
func asksPort(x exchange) bool {
	i, ok := x.(*informational)
	return ok && i.kind == askPort
}

// askOtherPort asks the peer at the other port whether it answers there, and goes on there if it
// does. That it does not answer at the present one is asked there first, and before anything else.
func (n *network) askOtherPort(why portReason) {
	w := &n.sa.work
	if !n.sa.usable() || asksPort(w.Current()) || w.Awaits(asksPort) {
		return
	}
	w.AddUrgent(&informational{kind: askPort, port: why})
	n.sa.startNext()
}

// questionPort opens the question of askOtherPort, and reports whether there is one.
func (n *network) questionPort(why portReason) bool {
	to := n.otherPort()
	return to.IsValid() && n.sa.usable() && !n.unsaid && (why != portAgain || carriageOf(to) == overUDP) && n.ask(to, why)
}

// otherPortAnswered handles the answer to a request that was sent at the other port, or at both.
func (n *network) otherPortAnswered(c *pathCheck, from ipsec.Path) {
	m, isNAT := &n.sa.party.memory, carriageOf(c.to) == overUDP
	switch {
	case !c.to.SameRemote(from):
		if !n.askOnceMore(c.port) {
			m.otherPortFailed(n, c)
		}
		return
	case n.sa.usable() && !asksPort(n.sa.work.Current()):
		n.askOtherPort(portSilent)
		return
	case n.sa.state.ending(): // its last request goes there, which is all that this says
		n.goOnAt(c.to)
		return
	}
	switch {
	case isNAT:
		m.portAnswers(n)
	case c.port == portSilent:
		m.portFailed(n)
	default:
		m.askLater()
	}
	n.changePort(c.to, c.port)
}

// askOnceMore asks at the other port again where a question was answered at the present one, and
// reports whether it does. Whether that answers was the question of portSilent.
func (n *network) askOnceMore(why portReason) bool {
	x, ok := n.sa.work.Current().(*informational)
	if !ok || x.kind != askPort || why == portSilent || x.asked+1 >= portQuestions {
		return false
	}
	n.sa.work.AddUrgent(&informational{kind: askPort, port: why, asked: x.asked + 1})
	return true
}

// changePort goes on at the other port, where the peer answers, and tells it.
func (n *network) changePort(to ipsec.Path, r portReason) {
	was, why := n.espPath().Encapsulated(), r.text(n, to)
	n.goOnAt(to)
	n.sa.e.count("ike_port_changed")
	if is := n.espPath().Encapsulated(); was != is {
		text := "ESP goes as IP protocol 50 instead of in UDP: "
		if is {
			text = "ESP goes in UDP instead of as IP protocol 50: "
		}
		n.sa.notice(Warn, "encap-changed", text+why)
	}
	if n.sa.usable() {
		n.announce()
	}
	n.sa.party.memory.follow(n, r)
}

// goOnAt moves the IKE SA and its Child SAs to the path at the other port.
func (n *network) goOnAt(to ipsec.Path) {
	n.Path = to
	n.tie()
	n.movePeer(to)
}
