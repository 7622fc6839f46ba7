package ike

import (
	"time"

	"culvert/ike/window"
	"culvert/ike/wire"
)

// rekeyBeforeIDsRunOut rekeys the IKE SA when many IDs are used up.
func (s *ikeSA) rekeyBeforeIDsRunOut() {
	if s.state == saEstablished && s.win.Worn() {
		s.rekeyDue()
	}
}

// ask sends a request of the SA's current exchange.
func (s *ikeSA) ask(ex wire.ExchangeType, ps []wire.Payload) {
	id, ok := s.win.NextID()
	if !ok {
		s.cannotSend("the message IDs are used up")
		return
	}
	datagrams, err := s.seal(ex, false, id, ps)
	if err != nil {
		s.cannotSend("a request could not be protected: " + err.Error())
		return
	}
	s.askRaw(ex, datagrams)
}

// cannotSend ends an IKE SA on which nothing can be said any more, not even that it ends: the keys are used up, or there is no randomness.
func (s *ikeSA) cannotSend(why string) {
	if s.state.beforeAuth() {
		s.fail(why)
		return
	}
	s.notice(Warn, "ike-error", why)
	s.end(endFailed, why)
}

// askRaw sends the datagrams of a request, first or again, and starts to wait for its response.
func (s *ikeSA) askRaw(ex wire.ExchangeType, datagrams [][]byte) {
	s.win.Send(ex, datagrams)
	s.sendRequest()
}

// sendRequest sends the outstanding request, and waits for its response.
func (s *ikeSA) sendRequest() {
	r, as := s.win.Outstanding(), Send{}
	if x, ok := s.work.current.(prober); ok {
		as.FragmentSize = x.inParts(s, r.Repeated)
	}
	s.emitRequest(as)
	s.e.after(&s.retransmission, s.pause(r.Repeated))
}

// emitRequest sends the outstanding request to the peer, carried by IP as the Send says.
func (s *ikeSA) emitRequest(as Send) {
	as.Local, as.Remote, as.NATPort = s.net.local, s.net.remote, s.net.natPort
	for _, data := range s.win.Outstanding().Datagrams {
		as.Data = data
		s.e.emit(as)
	}
	s.noteSent()
}

// retransmit sends the outstanding request again, bit by bit the same, or gives the SA up: "the initiator MUST retransmit a request until it
// either receives a corresponding response or deems the IKE SA to have failed" (RFC 7296, Section 2.1).
func (s *ikeSA) retransmit() {
	r := s.win.Outstanding()
	if r == nil {
		return
	}
	if x, ok := s.work.current.(prober); ok && x.unanswered(s) {
		return
	}
	if (r.Repeated > 0 || !s.net.local.Addr().IsValid()) && s.roam() {
		return // sent again from another address, or over: a host need not tell us of its addresses
	}
	if r.Repeated < s.tries() {
		r.Repeated++
	} else if !s.patient() {
		s.win.Withdraw()
		s.unanswered(r)
		return
	}
	s.e.count("ike_retransmitted")
	s.sendRequest()
}

// How often a request is sent again at most, where something else depends on it than the request alone.
const (
	manyAddressTries = 3 // IKE_SA_INIT to a peer that has other addresses to be tried
	doubtTries       = 4 // a probe of a peer that was silent, or anything to a peer that seems to have lost the IKE SA: about 22 s
)

// pause is the time to wait for a response after so many retransmissions. While we stop there is little of it.
func (s *ikeSA) pause(sent int) time.Duration {
	if s.e.stopping {
		return shutdownRetry.pause(sent, s.e.cfg.Rand)
	}
	if s.moving() {
		return moveRetry.pause(sent, s.e.cfg.Rand)
	}
	return s.e.cfg.Retry.pause(sent, s.e.cfg.Rand)
}

// moving reports whether we wait for the peer's answer from a new address, and can do without it.
func (s *ikeSA) moving() bool { return s.net.unsaid && s.state == saEstablished && s.canReconnect() }

// tries is how often a request may be sent again.
func (s *ikeSA) tries() int {
	if s.state == saConnecting && len(s.peer.cfg.Remote) > 1 {
		return min(manyAddressTries, s.e.cfg.Retry.Tries)
	}
	if s.moving() {
		return moveRetry.Tries
	}
	probe, ok := s.work.current.(*informational)
	_, path := s.work.current.(prober)
	if s.live.doubt || path && s.silent(s.e.handling.now) || ok && probe.kind == askAlive {
		return min(doubtTries, s.e.cfg.Retry.Tries)
	}
	return s.e.cfg.Retry.Tries
}

// answered takes the outstanding request out of the window: its response came.
func (s *ikeSA) answered() {
	s.win.Answered()
	s.e.timers.stop(&s.retransmission)
}

// inWindow reports whether a message is to be opened: the response to the outstanding request, or the
// peer's next request. A copy of the request before is answered as that one was, octet by octet.
func (s *ikeSA) inWindow(d Datagram, h wire.Header) bool {
	switch s.win.Judge(h, d.Data) {
	case window.Response, window.Refragmented:
		return true
	case window.Next:
		if !s.state.ended() {
			return true
		}
		s.e.count("ike_message_id")
	case window.Copy:
		s.e.count("ike_duplicate_request")
		s.repeatResponse(pathOf(d))
	case window.Stale:
		s.e.count("ike_stale_response")
	case window.Early:
		s.e.count("ike_outside_window")
	case window.UnknownID:
		s.e.count("ike_message_id")
	}
	return false
}

// repeatResponse answers a copy of the peer's last request.
func (s *ikeSA) repeatResponse(to path) { s.e.transmit(to, s.win.Repeat(to, s.net.path)) }

// answer sends and keeps the response to the peer's last request.
func (s *ikeSA) answer(ps []wire.Payload) {
	_, ex := s.win.Last()
	datagrams, err := s.seal(ex, true, s.win.ExpectedID()-1, ps)
	if err != nil {
		s.cannotSend("a response could not be protected: " + err.Error())
		return
	}
	s.e.transmit(s.win.Respond(datagrams), datagrams)
	s.noteSent()
}
