package ike

import (
	"slices"

	"culvert/ike/child"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// askKind is the purpose of our INFORMATIONAL request.
type askKind uint8

const (
	askAlive  askKind = iota // an empty request: a liveness check
	askDelete                // delete Child SAs
	askClose                 // delete the IKE SA, or report that it cannot be established
	askMove                  // tell our address after it changed
	askToken                 // give our crash token
	askPort                  // ask at the other port of the IKE SA (sa_encap.go)
)

// informational is an INFORMATIONAL exchange that we initiate (RFC 7296, Section 1.4).
type informational struct {
	kind      askKind
	path      ipsec.Path // of askMove: ours when it was made
	pairs     []*child.Pair
	spis      []uint32 // inbound SPIs of Child SAs that were not installed here
	payloads  []wire.Payload
	cause     child.Cause
	why       string
	port      portReason // of askPort
	asked     int        // of askPort: how many questions before it were answered at the present one
	then      func()     // called after the response to askAlive
	otherwise func()     // called if there will be none
}

func (x *informational) activity() ikeActivity {
	switch x.kind {
	case askDelete:
		return ikeChildren
	case askClose:
		return ikeClosing
	}
	return ikeQuiet
}

func (x *informational) start(s *ikeSA) {
	switch x.kind {
	case askMove:
		x.path = s.net.Path
		x.payloads = natNotifies(s.spi, s.net.Path, s.party.cfg.Encap)
		fallthrough
	case askAlive, askClose, askToken:
		s.ask(wire.Informational, x.payloads)
		return
	}
	if x.kind == askPort {
		if !s.net.questionPort(x.port) {
			s.done(x)
			return
		}
		s.ask(wire.Informational, nil)
		return
	}
	x.pairs = slices.DeleteFunc(x.pairs, func(p *child.Pair) bool { return saOf(p) != s || p.State() != child.Deleting })
	d := &wire.Delete{Protocol: wire.ProtoESP, SPISize: 4}
	for _, p := range x.pairs {
		d.SPIs = append(d.SPIs, spiOctets(p.SA.SPIIn))
	}
	for _, spi := range x.spis {
		d.SPIs = append(d.SPIs, spiOctets(spi))
	}
	if len(d.SPIs) == 0 {
		s.done(x)
		return
	}
	s.ask(wire.Informational, []wire.Payload{d})
}

func (x *informational) response(s *ikeSA, ps []wire.Payload) {
	switch x.kind {
	case askAlive:
		if x.then != nil {
			x.then()
		}
	case askDelete:
		for _, p := range x.pairs {
			p.Lost(x.cause, x.why)
		}
	case askClose:
		s.end(x.cause, x.why)
		return
	case askMove:
		x.announced(s, ps)
	}
	s.done(x)
}

func (x *informational) abandon(s *ikeSA, _ string) {
	for _, p := range x.pairs {
		// A successor inherited it, and must delete it.
		if successor := p.Carrier(); successor != nil && saOf(p) != s {
			successor.Delete(p, x.cause, x.why)
		}
	}
	if x.otherwise != nil {
		x.otherwise()
	}
}

// informationalRequest handles an INFORMATIONAL request: deletions, the peer's new address, or an
// empty liveness check. Unknown payloads are ignored. Every request is answered.
func (s *ikeSA) informationalRequest(ps []wire.Payload) ([]wire.Payload, error) {
	if kind, ok := s.rejection(ps); ok {
		s.answer(nil)
		s.rejected(kind)
		return nil, errPending
	}
	s.auth.listen(ps)
	if n, ok := wire.FindNotify(ps, wire.InvalidSPI); ok {
		s.peerLacks(n.Data)
	}
	answer := s.net.whereItIs(ps)
	var named [][]byte // inbound SPIs of the peer's
	for _, p := range ps {
		d, ok := p.(*wire.Delete)
		switch {
		case ok && d.Protocol == wire.ProtoIKE:
			s.deletedByPeer()
			return nil, errPending
		case ok && d.Protocol == wire.ProtoESP:
			named = append(named, d.SPIs...)
		}
	}
	if len(named) > 0 {
		if ours := s.childrenDeleted(named); len(ours) > 0 {
			answer = append(answer, &wire.Delete{Protocol: wire.ProtoESP, SPISize: 4, SPIs: ours})
		}
	}
	return answer, nil
}

// rejection returns the initiator's error notify about our authentication. It counts only in "the
// INFORMATIONAL exchange immediately following" IKE_AUTH (RFC 7296, Section 2.21.2), that is, in
// the peer's third request.
func (s *ikeSA) rejection(ps []wire.Payload) (wire.NotifyType, bool) {
	if s.initiator || s.win.ExpectedID() != s.afterAuth+1 {
		return 0, false
	}
	for _, kind := range []wire.NotifyType{wire.AuthenticationFailed, wire.InvalidSyntax, wire.UnsupportedCriticalPayload} {
		if _, ok := wire.FindNotify(ps, kind); ok {
			return kind, true
		}
	}
	return 0, false
}
