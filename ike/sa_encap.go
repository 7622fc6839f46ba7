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
// octet the same. If it is answered there, the IKE SA goes on there. The peer is told as at any
// other move (sa_roam.go), by either side, and sends ESP accordingly:
//
//	port 4500  IKE_AUTH     -->       three times, and not answered
//	port 500   IKE_AUTH     <-->      the same
//	port 500   HDR, SK {N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)}  <-->
//
// Which of both did not pass is remembered (encapMemory).

// How often a request is repeated before it is also sent at the other port. In the life of an IKE
// SA that must not come of a few losses.
const (
	otherPortInAuth  = 2
	otherPortInLife  = 3
	otherPortInCheck = 1 // of a question whether the other port answers
)

// otherPortTime is how long an answer from the other port is awaited after each repetition.
const otherPortTime = time.Minute

// tied reports whether the port of the IKE SA says how ESP is sent.
func (n *network) tied() bool {
	return n.able&ableUDP != 0 && n.nat == NATState{} && n.encap.possible() && !n.Stream()
}

// tie has ESP sent as the port of the IKE SA says, if it does.
func (n *network) tie() {
	if !n.tied() {
		return
	}
	if n.encap = encapPossible; n.Via() == ipsec.NAT {
		n.encap = encapUsed
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
	case n.check.live(now) && n.check.port && n.check.id == r.ID:
		n.check.until = now.Add(otherPortTime) // it goes there once more
	case r.Repeated >= after && !n.check.live(now) && to.IsValid() && n.ask(to, true):
		n.check.id, n.check.asked = r.ID, true
	}
}

// askOtherPort asks the peer at the other port whether it answers there, and goes on there if it
// does. why is the reason, if there is another one than that.
func (n *network) askOtherPort(why string) {
	asks := func(x exchange) bool { i, ok := x.(*informational); return ok && i.kind == askPort }
	if n.sa.usable() && !asks(n.sa.work.Current()) && !n.sa.work.Awaits(asks) {
		n.sa.enqueue(&informational{kind: askPort, why: why})
	}
}

// questionPort opens the question of askOtherPort, and reports whether there is one.
func (n *network) questionPort(why string) bool {
	to := n.otherPort()
	if !to.IsValid() || !n.sa.usable() || n.unsaid || why == "" && carriageOf(to) == overIP || !n.ask(to, true) {
		return false
	}
	if n.check.why = why; why == "" {
		n.check.why = fmt.Sprintf("UDP port %d answers", to.Remote().Port())
	}
	return true
}

// changePort goes on at the other port, where the peer answers, and tells it.
func (n *network) changePort(to ipsec.Path, why string) {
	was := n.espPath().Encapsulated()
	n.Path = to
	n.tie()
	n.sa.e.count("ike_port_changed")
	if is := n.espPath().Encapsulated(); was != is {
		text := "ESP goes as IP protocol 50 instead of in UDP: "
		if is {
			text = "ESP goes in UDP instead of as IP protocol 50: "
		}
		n.sa.notice(Warn, "encap-changed", text+why)
	}
	n.movePairs()
	if n.sa.usable() {
		n.announce()
	}
}

// otherPortAnswered handles an answer to a request that was also sent at the other port.
func (n *network) otherPortAnswered(c *pathCheck, from ipsec.Path) {
	m := &n.sa.party.memory
	there, isNAT := c.to.SameRemote(from), carriageOf(c.to) == overUDP
	switch {
	case !there && c.why != "" && isNAT:
		m.portFailed(n)
		return
	case !there:
		return
	case isNAT:
		m.portAnswers()
	case c.why == "":
		m.portFailed(n)
	}
	if c.why != "" {
		n.changePort(c.to, c.why)
	} else {
		n.changePort(c.to, fmt.Sprintf("UDP port %d does not answer, and port %d does", n.Remote().Port(), c.to.Remote().Port()))
	}
}
