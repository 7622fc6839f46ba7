package ike

import (
	"maps"

	"culvert/ike/child"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// close asks the peer to delete the IKE SA. Before IKE_AUTH was sent the IKE SA ends at once: the
// peer has nothing to delete, or there is no key to protect a Delete. After that the peer may have
// the IKE SA, and the Delete follows the response. With an attempt of ours its round ends: what is
// begun later does not go on with it.
func (s *ikeSA) close(why string) { s.closeAs(child.EndLocal, why) }

func (s *ikeSA) closeAs(cause child.Cause, why string) {
	auth, authenticating := s.work.Current().(*authExchange)
	if s.connecting() {
		s.party.try.missed = 0
	}
	switch {
	case s.state == saAuthenticating && authenticating && (s.win.Outstanding() != nil || auth.verifying):
		auth.withdraw(s, why)
		s.moveTo(saClosing)
		s.enqueue(&informational{kind: askClose, payloads: []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}, cause: cause, why: why})
	case s.state.beforeAuth():
		s.abandonWork(why)
		s.remove()
	case s.state == saEstablished || s.state == saRekeyed:
		waiting := s.work.TakeWaiting()
		s.life.closed = cause
		s.moveTo(saClosing)
		s.reopenSettlements()
		if s.succ.theirs != nil {
			s.succ.theirs.closeAs(cause, why)
		}
		for _, x := range waiting {
			x.abandon(s, why)
		}
		if x, ok := s.work.Current().(*childExchange); ok && cause == child.EndLocal {
			x.leave()
		}
		s.enqueue(&informational{kind: askClose, payloads: []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}, cause: cause, why: why})
	}
}

// fail ends the IKE SA because of an error.
func (s *ikeSA) fail(why string) {
	if s.state.beforeAuth() {
		if s.initiator {
			s.setupFailed(reason.Facts{Cause: reason.Unusable, Why: why})
		} else {
			s.end(child.EndFailed, why)
		}
		return
	}
	s.notice(Warn, "ike-error", why)
	s.closeAs(child.EndFailed, why)
}

// deletedByPeer handles the peer's Delete of the IKE SA. "The response to a request that deletes
// the IKE SA is an empty INFORMATIONAL response" (RFC 7296, Section 1.4.1). If our rekeying is
// outstanding and the peer's has succeeded, the peer does not know of ours, and its successor
// inherits (Section 2.8.2).
func (s *ikeSA) deletedByPeer() {
	cause, why := child.EndPeer, "the peer deleted it"
	if s.succ.acceptPeers() || s.state == saRekeyed {
		cause, why = child.EndReplaced, "rekeyed"
	}
	if s.state == saClosing {
		cause, why = child.EndLocal, "both sides deleted it"
	}
	if cause == child.EndPeer {
		s.leaveLine()
	}
	s.answer(nil)
	s.end(cause, why)
}

// childrenDeleted ends the Child SAs that the peer names by its inbound SPIs, and returns our
// inbound SPIs of the same pairs. A message has room for many thousands of SPIs.
func (s *ikeSA) childrenDeleted(spis [][]byte) [][]byte {
	s.succ.adoptIfUndecided()
	named := map[uint32]*child.Pair{}
	if s.state == saRekeyed && s.succ.successor != nil {
		named = s.succ.successor.children.ByName()
	}
	maps.Copy(named, s.children.ByName())
	var ours [][]byte
	for _, spi := range spis {
		name := child.SPIOf(spi)
		p := named[name]
		if x, ok := s.work.Current().(*childExchange); ok && p == nil {
			x.noteDeleted(name)
		}
		if p == nil || answerTo(askDeleteChild, s.doing(), doingWith(p)) == answerWithoutDelete {
			continue
		}
		delete(named, p.SA.SPIOut)
		ours = append(ours, spiOctets(p.SA.SPIIn))
		p.Lost(child.EndPeer, "the peer deleted it")
	}
	return ours
}

// enoughDenials is how many transmissions of a request the peer must answer by INVALID_IKE_SPI,
// while the IKE SA is being deleted, until its plan becomes as short as after a hint about an IKE
// SA in use.
const enoughDenials = 3

// denied handles an INVALID_IKE_SPI while the IKE SA is being deleted: the peer has ended it
// already, or never had it, as a rekey whose response crossed the Delete of the old one makes. That
// is unprotected, so the IKE SA does not end by it. But the way is open, so that a few repetitions
// more tell the peer as surely as many, and the command that closed it need not wait for those. The
// request may be one before the Delete.
func (s *ikeSA) denied() {
	out, l := s.win.Outstanding(), &s.live
	if s.state != saClosing || out == nil || l.deniedAt > out.Repeated {
		return
	}
	l.deniedAt = out.Repeated + 1
	if l.denied++; l.denied == enoughDenials && !s.net.moving() {
		s.awaitAnswer()
	}
}

// deleteDenied reports whether the peer has said often enough that it does not know the IKE SA.
func (s *ikeSA) deleteDenied() bool { return s.state == saClosing && s.live.denied >= enoughDenials }
