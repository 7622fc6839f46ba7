package ike

import (
	"culvert/ike/child"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// exchange is an exchange that we initiate on an IKE SA. It builds the request and handles the
// response. The window handles message IDs, retransmission, fragments and caching.
type exchange interface {
	// start builds the request and passes it to ikeSA.ask, at once or after a computation. If there
	// is nothing to ask any more it calls ikeSA.done.
	start(s *ikeSA)
	// response handles the payloads of the response, which were authenticated and checked. It ends
	// with ikeSA.done, at once or after a computation.
	response(s *ikeSA, ps []wire.Payload)
	// abandon ends the exchange because no response will come, or none is wanted. The IKE SA may
	// have ended.
	abandon(s *ikeSA, why string)
	// activity returns what the exchange counts as when a request of the peer crosses it (RFC 7296,
	// Section 2.25).
	activity() ikeActivity
}

// ruled is an exchange whose response has a rule of its own, in place of its exchange type's: one
// of several rounds.
type ruled interface {
	exchange
	responseRule() payloadRule
}

// enqueue starts an exchange when those before it have ended.
func (s *ikeSA) enqueue(x exchange) {
	s.work.Add(x)
	s.startNext()
}

// startNext starts the next exchange if none is under way.
func (s *ikeSA) startNext() {
	for s.mayStart() {
		x, ok := s.work.Next()
		if !ok {
			break
		}
		x.start(s)
	}
	if s.work.Waiting() > 0 {
		s.probes.hurry()
	}
}

// mayStart reports whether the IKE SA allows an exchange of the queue. During setup only the
// setup's own exchanges run.
func (s *ikeSA) mayStart() bool { return !s.succ.computing() && s.state.authenticated() }

// run starts an exchange at once, in place of the current one.
func (s *ikeSA) run(x exchange) {
	s.work.Replace(x)
	x.start(s)
}

// done ends the current exchange, and starts the next one. A peer that is still doubted is checked
// by another.
func (s *ikeSA) done(x exchange) {
	if !s.work.Done(x) {
		return
	}
	s.e.touch(s.party)
	s.startNext()
	if s.live.Doubted() {
		s.live.probe()
	}
}

// holds reports whether x is still the current exchange. A computation may return when the IKE SA
// has moved on.
func (s *ikeSA) holds(x exchange) bool {
	return s.work.Current() == x && !s.state.ended()
}

// unsent reports whether x, of which nothing was sent while its key was made, is still to be sent.
// If the IKE SA is being deleted it ends, as the Delete would wait for its response.
func (s *ikeSA) unsent(x exchange) bool {
	if s.holds(x) && s.state == saClosing {
		x.abandon(s, "the IKE SA is being deleted")
		s.done(x)
	}
	return s.holds(x)
}

// abandonWork ends all exchanges without their responses.
func (s *ikeSA) abandonWork(why string) {
	all := s.work.Take()
	s.win.Withdraw()
	s.e.timers.Stop(&s.retransmission)
	for _, x := range all {
		x.abandon(s, why)
	}
}

// doing returns what we are doing with the IKE SA, for the collision rules.
func (s *ikeSA) doing() ikeActivity {
	switch {
	case s.state == saRekeyed:
		return ikeReplaced
	case s.state == saClosing:
		return ikeClosing
	case s.work.Busy():
		return s.work.Current().activity()
	}
	return ikeQuiet
}

// rekeyBeforeIDsRunOut rekeys the IKE SA when its message IDs run low.
func (s *ikeSA) rekeyBeforeIDsRunOut() {
	if s.state == saEstablished && s.win.Worn() {
		s.life.due()
	}
}

// ask sends a request of the IKE SA's current exchange.
func (s *ikeSA) ask(ex wire.ExchangeType, ps []wire.Payload) {
	id, ok := s.win.NextID()
	if !ok {
		s.cannotSend("the message IDs are exhausted")
		return
	}
	datagrams, err := s.seal(ex, false, id, ps)
	if err != nil {
		s.cannotSend("a request could not be protected: " + err.Error())
		return
	}
	s.askRaw(ex, datagrams)
}

// cannotSend ends an IKE SA that can send nothing further, not even a Delete: its keys or message
// IDs are exhausted, or there is no randomness.
func (s *ikeSA) cannotSend(why string) {
	if s.state.beforeAuth() {
		s.fail(why)
		return
	}
	s.notice(Warn, "ike-error", why)
	s.end(child.EndFailed, why)
}

// askRaw makes the datagrams the outstanding request, sends them, and starts the retransmission
// timer.
func (s *ikeSA) askRaw(ex wire.ExchangeType, datagrams [][]byte) {
	s.win.Send(ex, datagrams)
	s.live.noteAsked()
	s.sendRequest()
	s.awaitInTime()
}

// sendRequest sends the outstanding request and sets the retransmission timer.
func (s *ikeSA) sendRequest() {
	r, as := s.win.Outstanding(), Send{}
	if x, ok := s.work.Current().(prober); ok {
		as.FragmentSize = x.inParts(s, r.Repeated)
	}
	s.emitRequest(as)
	s.awaitAnswer()
}

// emitRequest sends the outstanding request to the peer. as tells how IP carries it.
func (s *ikeSA) emitRequest(as Send) {
	for _, as.Path = range s.net.requestPaths() {
		for _, as.Data = range s.win.Outstanding().Datagrams {
			s.e.emit(as)
		}
	}
	s.live.noteSent()
}

// retransmit sends the outstanding request again, octet for octet, or ends the IKE SA: "the
// initiator MUST retransmit a request until it either receives a corresponding response or deems
// the IKE SA to have failed" (RFC 7296, Section 2.1).
func (s *ikeSA) retransmit() {
	r := s.win.Outstanding()
	if r == nil {
		return
	}
	if x, ok := s.work.Current().(prober); ok && x.unanswered(s) {
		return
	}
	if (r.Repeated > 0 || !s.net.Local().Addr().IsValid()) && s.net.roam() {
		return // sent from another address, or ended: the host may not report changes of its addresses
	}
	if s.win.Exhausted(s.plan()) && s.live.seekAnother() {
		return
	}
	if !s.win.Unanswered(s.plan(), s.probes.patient()) {
		s.unanswered(r)
		return
	}
	if s.misdirected() {
		s.end(child.EndFailed, movedAway)
		return
	}
	if s.connecting() && s.party != nil && s.setup.refusal.Cause == "" {
		s.e.unanswered.add(s.party, s.net.Remote().Addr())
	}
	s.e.count("ike_retransmitted")
	s.net.tryOtherPort()
	s.sendRequest()
	s.live.suspect()
	if r.Repeated == patience && s.party != nil {
		s.e.emit(Resolve{Peer: s.party.cfg.Name}) // it may be elsewhere by now
	}
	if r.Exchange == wire.CreateChildSA && s.live.ignored() && s.work.Current().activity() != ikeQuiet {
		s.childUnanswered()
	}
}

// askHeard sends the outstanding request once more when a request of the peer's shows that the path
// works: it may have been lost before, and the pauses of the plan become long. The plan goes on as
// it was, and one copy is sent for each of its repetitions, so that a peer which never answers is
// given up as before.
func (s *ikeSA) askHeard() {
	if s.mayAskHeard() {
		s.live.copies = s.win.Outstanding().Repeated
		s.e.count("ike_retransmitted")
		s.emitRequest(Send{})
	}
}

// answered takes the outstanding request out of the window, since its response has come.
func (s *ikeSA) answered() {
	s.win.Answered()
	s.e.timers.Stop(&s.retransmission)
}

// inWindow reports whether a message is to be opened: it is the response to the outstanding
// request, or the peer's next request. A copy of the last request gets the same response again,
// octet for octet.
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
		s.repeatResponse(d.Path)
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
func (s *ikeSA) repeatResponse(to ipsec.Path) { s.e.transmit(to, s.win.Repeat(to, s.net.Path)) }

// mayAskHeard reports whether askHeard would send.
func (s *ikeSA) mayAskHeard() bool {
	r := s.win.Outstanding()
	_, path := s.work.Current().(prober)
	return !path && r != nil && r.Repeated != s.live.copies
}

// answer sends the response to the peer's last request, and keeps it for copies of the request.
func (s *ikeSA) answer(ps []wire.Payload) {
	s.stopWaiting()
	_, ex := s.win.Last()
	datagrams, err := s.seal(ex, true, s.win.ExpectedID()-1, ps)
	if err != nil {
		s.cannotSend("a response could not be protected: " + err.Error())
		return
	}
	s.e.transmit(s.win.Respond(datagrams), datagrams)
	s.live.noteSent()
}
