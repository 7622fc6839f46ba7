package ike

import (
	"encoding/binary"

	"culvert/ike/wire"
)

// close asks the peer to delete the IKE SA. One that has not come to IKE_AUTH goes at once: there is nothing to delete, or no key to say so with. Once IKE_AUTH was sent the
// peer may have the SA; it can be deleted when the answer is there.
func (s *ikeSA) close(why string) { s.closeAs(endLocal, why) }

func (s *ikeSA) closeAs(cause endCause, why string) {
	auth, authenticating := s.work.current.(*authExchange)
	switch {
	case s.state == saAuthenticating && authenticating && (s.win.Outstanding() != nil || auth.verifying):
		auth.withdraw(s, why)
		s.moveTo(saClosing)
		s.enqueue(&informational{kind: askClose, payloads: []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}, cause: cause, why: why})
	case s.state.beforeAuth():
		s.abandonWork(why)
		s.remove()
	case s.state == saEstablished || s.state == saRekeyed:
		queue := s.work.queue
		s.work.queue = nil
		s.moveTo(saClosing)
		if s.succ.theirs != nil {
			s.succ.theirs.closeAs(cause, why)
		}
		for _, x := range queue {
			x.abandon(s, why)
		}
		s.enqueue(&informational{kind: askClose, payloads: []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}, cause: cause, why: why})
	}
}

// fail ends the IKE SA because it cannot go on.
func (s *ikeSA) fail(why string) {
	if s.state.beforeAuth() {
		if s.initiator {
			s.setupFailed(why, nil, false)
		} else {
			s.end(endFailed, why)
		}
		return
	}
	s.notice(Warn, "ike-error", why)
	s.closeAs(endFailed, why)
}

// deletedByPeer ends the IKE SA as the peer wants it; "The response to a request that deletes the IKE SA is an empty INFORMATIONAL response". If our own
// rekeying was under way and the peer's was done, the peer knows nothing of ours, and its successor inherits (Section 2.8.2).
func (s *ikeSA) deletedByPeer() {
	cause, why := endPeer, "the peer deleted it"
	if s.acceptPeers() || s.state == saRekeyed {
		cause, why = endReplaced, "rekeyed"
	}
	if s.state == saClosing {
		cause, why = endLocal, "both sides deleted it"
	}
	s.answer(nil)
	s.end(cause, why)
}

// childrenDeleted ends the Child SAs that the peer names by its own inbound SPIs, and returns ours of the same pairs.
func (s *ikeSA) childrenDeleted(spis [][]byte) [][]byte {
	var ours [][]byte
	s.adoptIfUndecided()
	for _, spi := range spis {
		p := s.byOutSPI(spi)
		if p == nil && s.state == saRekeyed && s.succ.successor != nil {
			p = s.succ.successor.byOutSPI(spi)
		}
		if answerTo(askDeleteChild, s.doing(), p.doing()) == answerWithoutDelete {
			continue
		}
		ours = append(ours, binary.BigEndian.AppendUint32(nil, p.sa.SPIIn))
		p.lost(endPeer, "the peer deleted it")
	}
	return ours
}
