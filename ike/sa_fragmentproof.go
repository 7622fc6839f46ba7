package ike

import (
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// fragmentPath is what is known about IP fragments on a path.
type fragmentPath uint8

const (
	fragmentsUnknown fragmentPath = iota
	fragmentsPass
	fragmentsLost
)

// fragmentProof is the exchange that shows whether IP fragments arrive on a path. The path probe
// that needs it follows.
type fragmentProof struct {
	probe *pathProbe
	at    time.Time // when the request was first sent
	tries int       // transmissions in fragments
	form  proofForm
	haste
}

// proofForm is the form in which the request of a fragmentProof was last sent.
type proofForm uint8

const (
	proofParts   proofForm = iota // in small IP fragments
	proofWhole                    // as usual, since no response came
	proofUnclear                  // as usual, but the response proves nothing
)

func (x *fragmentProof) activity() ikeActivity { return ikeQuiet }

func (x *fragmentProof) start(s *ikeSA) {
	size := proof4
	if s.net.Is6() {
		size = proof6
	}
	data, _, ok := s.probes.padded(size)
	if !ok {
		x.abandon(s, "")
		s.done(x)
		return
	}
	s.win.Send(wire.Informational, [][]byte{data})
	x.at = s.e.handling.now
	x.again(s)
}

// again sends the request in fragments.
func (x *fragmentProof) again(s *ikeSA) {
	x.tries++
	part := proofPart4
	if s.net.Is6() {
		part = proofPart6
	}
	s.emitRequest(Send{FragmentSize: part})
	s.e.after(&s.retransmission, s.probes.wait())
}

func (x *fragmentProof) unanswered(s *ikeSA) bool {
	switch {
	case x.form != proofParts:
		x.form = proofUnclear // the peer or the path was down
		return false
	case x.tries < probeTries:
		x.again(s)
	default:
		x.sendWhole(s)
	}
	return true
}

// sendWhole sends the request as usual. The response does not tell which form it answers.
func (x *fragmentProof) sendWhole(s *ikeSA) {
	x.form = proofWhole
	s.askRaw(wire.Informational, s.win.Outstanding().Datagrams)
}

func (x *fragmentProof) inParts(*ikeSA, int) int { return 0 }

func (x *fragmentProof) hurry(s *ikeSA) {
	if again := x.begin(s); s.win.Outstanding() != nil && (x.form == proofParts || again) {
		x.sendWhole(s)
	}
	x.form = proofUnclear
}

// response accepts any authentic response: its content has no meaning.
func (x *fragmentProof) response(s *ikeSA, _ []wire.Payload) {
	switch x.form {
	case proofParts:
		s.probes.fragments = fragmentsPass
		if x.tries == 1 {
			s.probes.rtt.measure(s.e.handling.now.Sub(x.at))
		}
	case proofWhole:
		s.probes.fragments = fragmentsLost
		s.party.pathUnprobed()
	}
	proven := s.probes.fragments == fragmentsPass
	s.done(x)
	if proven && s.probes.mayProbe() {
		s.enqueue(x.probe)
		return
	}
	x.probe.tell(s.e, ipsec.PathUnknown)
}

func (x *fragmentProof) abandon(s *ikeSA, _ string) { x.probe.tell(s.e, ipsec.PathUnknown) }

// pathUnprobed reports, once, that large packets are not probed.
func (p *party) pathUnprobed() {
	if p.unprobed {
		return
	}
	p.unprobed = true
	p.notice(Info, "path-unprobed", "", "IP fragments do not arrive at the peer, so the path MTU is learnt from ICMP only; if large packets get lost, set mtu for this peer")
}
