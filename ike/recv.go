package ike

import (
	"errors"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// One pipeline for each datagram: header -> version -> IKE SA -> window -> SK{} opened -> rules -> handler. Before SK{} is
// open nothing of an IKE SA changes.

// datagram handles an IKE message.
func (e *Engine) datagram(d Datagram) {
	defer func() {
		if why := recover(); why != nil {
			e.recovered(why)
		}
	}()
	d.Local, d.Remote = unmapped(d.Local), unmapped(d.Remote)
	h, err := wire.ParseHeader(d.Data)
	if err != nil || !d.Remote.IsValid() {
		e.count("ike_malformed")
		return
	}
	if h.MajorVersion != wire.MajorVersion {
		e.refuseVersion(d, h)
		return
	}
	if h.Exchange == wire.IKESAInit && !h.Response && h.ResponderSPI == 0 {
		e.initRequest(d, h)
		return
	}
	s := e.lookup(h)
	if s == nil {
		e.unknownSPI(d, h)
		return
	}
	if !s.expects(h) {
		e.count("ike_unexpected_exchange")
		return
	}
	s.message(d, h)
}

// lookup finds the IKE SA by the SPI that is ours, and holds the other one against it: "an endpoint [...] must look at the Initiator flag in the header to
// determine whether it assigned the first or the second eight octets" (RFC 7296, Section 2.6).
func (e *Engine) lookup(h wire.Header) *ikeSA {
	ours, theirs := h.InitiatorSPI, h.ResponderSPI
	if h.Initiator {
		ours, theirs = theirs, ours
	}
	s := e.sas.bySPI[ours]
	if s == nil || s.initiator == h.Initiator {
		return nil
	}
	known := s.spi.I
	if s.initiator {
		known = s.spi.R
	}
	if s.state != saConnecting && known != theirs {
		return nil
	}
	return s
}

// expects says whether a message of this kind has a place in the SA's state: before anything is opened, because what is not expected need not be.
func (s *ikeSA) expects(h wire.Header) bool {
	switch s.state {
	case saEmbryo:
		return false
	case saConnecting:
		return h.Exchange == wire.IKESAInit && h.Response && h.MessageID == 0
	case saAuthenticating:
		return h.Response // the window wants it to be of the exchange that is under way
	case saHalfOpen:
		return !h.Response && s.keys.in != nil && s.handshakeFor(h.Exchange) != nil
	}
	if !h.Response && s.handshakeFor(h.Exchange) != nil {
		return true
	}
	if h.Exchange == wire.IKEAuth && h.Response { // to a request that was withdrawn meanwhile
		return s.state == saClosing && s.initiator
	}
	if h.Exchange == wire.IKEAuth { // a copy of the one that was answered
		return s.win.IsLast(h.MessageID)
	}
	return h.Exchange == wire.CreateChildSA || h.Exchange == wire.Informational
}

// message handles a message of an IKE SA, past the first steps.
func (s *ikeSA) message(d Datagram, h wire.Header) {
	if s.state != saConnecting && !s.inWindow(d, h) {
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		s.e.count("ike_malformed")
		return
	}
	if s.state == saConnecting {
		s.initResponse(d, m)
		return
	}
	if len(m.Payloads) != 1 {
		s.unprotected(m)
		return
	}
	switch p := m.Payloads[0].(type) {
	case *wire.Encrypted:
		ps, err := s.keys.in.Open(d.Data, p)
		s.opened(d, h, digestOf(d.Data), ps, err)
	case *wire.EncryptedFragment:
		s.fragment(d, h, p)
	default:
		s.unprotected(m)
	}
}

// unprotected is a message in the clear where only protected ones count. An error in it is a hint at most (RFC 7296, Sections 2.4 and 2.21.4).
func (s *ikeSA) unprotected(m *wire.Message) {
	s.e.count("ike_unprotected")
	n, ok := wire.FindError(m.Payloads)
	if !ok || !m.Response {
		return
	}
	if s.state == saAuthenticating {
		s.setup.refusal = trouble{reason: "an unprotected answer to IKE_AUTH says " + n.Kind.String()}
		s.e.touch(s.peer)
		return
	}
	s.livenessHint()
}

// fragment opens a fragment, and handles the message when it is whole.
func (s *ikeSA) fragment(d Datagram, h wire.Header, f *wire.EncryptedFragment) {
	if !h.Response && h.MessageID != s.win.ExpectedID() {
		s.fragmentOfLast(d, f)
		return
	}
	r := s.win.Fragments(h)
	if s.keys.fragment == 0 || !r.Wants(f) {
		s.e.count("ike_fragment_refused")
		return
	}
	plain, err := s.keys.in.OpenFragment(d.Data, f)
	if errors.Is(err, suite.ErrAuth) {
		s.e.count("ike_auth_failed")
		return
	}
	if err != nil {
		s.opened(d, h, digestOf(d.Data), nil, err)
		return
	}
	m, complete := r.Add(f, plain, digestOf(d.Data))
	if !complete {
		return
	}
	ps, err := wire.ParsePayloads(m.First, m.Plain)
	s.opened(d, h, m.Digest, ps, err)
}

// fragmentOfLast is a fragment of a request that was answered, but not a copy of its first one. If it is authentic the peer has fragmented anew, and its
// first fragment alone is answered (RFC 7383, Section 2.6.1).
func (s *ikeSA) fragmentOfLast(d Datagram, f *wire.EncryptedFragment) {
	if f.Number != 1 {
		return
	}
	if _, err := s.keys.in.OpenFragment(d.Data, f); errors.Is(err, suite.ErrAuth) {
		s.e.count("ike_auth_failed")
		return
	}
	s.e.count("ike_duplicate_request")
	s.repeatResponse(pathOf(d))
}

// opened handles a message that is in the window and was opened, unless err says that it could not be, or has a malformed content.
func (s *ikeSA) opened(d Datagram, h wire.Header, digest [32]byte, ps []wire.Payload, err error) {
	if errors.Is(err, suite.ErrAuth) {
		s.e.count("ike_auth_failed")
		return
	}
	s.noteReceived()
	if s.state == saHalfOpen {
		s.net.path = pathOf(d)
	} else {
		s.follow(d)
	}
	if h.Response {
		s.takeResponse(h, ps, err)
	} else {
		s.win.Accept(pathOf(d), digest, h.Exchange)
		s.takeRequest(d, h, ps, err)
	}
	s.rekeyBeforeIDsRunOut()
}

// takeResponse hands a response to the exchange that waits for it. "If there is an error parsing or processing a response packet, the general rule is to not
// send back any error message [...]. Such errors [...] should still cause the recipient to clean up the IKE state" (RFC 7296, Section 2.21).
func (s *ikeSA) takeResponse(h wire.Header, ps []wire.Payload, err error) {
	s.answered()
	_, critical := wire.UnsupportedCritical(ps)
	if err == nil {
		err = s.checkResponse(h.Exchange, ps)
	}
	if _, fatal := wire.FindNotify(ps, wire.InvalidSyntax); fatal && h.Exchange != wire.IKEAuth {
		// "considered fatal in both peers, meaning that the IKE SA is deleted without needing an explicit Delete payload" (Section 2.21.3).
		s.end(endPeer, "the peer answered INVALID_SYNTAX")
		return
	}
	x := s.work.current
	if err != nil || critical || x == nil {
		s.e.count("ike_malformed")
		s.malformedResponse(x)
		return
	}
	x.response(s, ps)
}

// checkResponse holds the payloads of a response against the rules.
func (s *ikeSA) checkResponse(ex wire.ExchangeType, ps []wire.Payload) error {
	if x, ok := s.work.current.(ruled); ok {
		return x.responseRule().check(ex, true, ps)
	}
	return checkPayloads(ex, true, ps)
}

// malformedResponse ends the IKE SA by a Delete, which has to get its turn; unless it is the Delete that was answered so.
func (s *ikeSA) malformedResponse(x exchange) {
	const why = "the peer's response is malformed"
	if x != nil && !s.state.beforeAuth() {
		s.work.current = nil
		x.abandon(s, why)
	}
	if s.state != saClosing {
		s.fail(why)
		return
	}
	if s.startNext(); s.work.current == nil {
		s.end(endLocal, why)
	}
}

// takeRequest hands a request to its handler, and answers it unless the answer has to wait.
func (s *ikeSA) takeRequest(d Datagram, h wire.Header, ps []wire.Payload, err error) {
	if err != nil {
		s.e.count("ike_malformed")
		err = fatal(wire.InvalidSyntax, "a request is malformed: "+err.Error())
	} else if typ, critical := wire.UnsupportedCritical(ps); critical {
		s.e.count("ike_critical_payload")
		err = &notifyError{&wire.Notify{Kind: wire.UnsupportedCriticalPayload, Data: []byte{byte(typ)}}, "a critical payload is not known"}
	} else if err = s.checkRequest(h.Exchange, ps); err != nil {
		s.e.count("ike_malformed")
		err = fatal(wire.InvalidSyntax, "a request is malformed: "+err.Error())
	}
	if err == nil {
		ps, err = s.handle(h.Exchange, ps)
	}
	s.conclude(ps, err)
}

// checkRequest holds the payloads of a request against the rules.
func (s *ikeSA) checkRequest(ex wire.ExchangeType, ps []wire.Payload) error {
	if x := s.handshakeFor(ex); x != nil {
		return x.rule().check(ex, false, ps)
	}
	return checkPayloads(ex, false, ps)
}

// handle is the table of the requests' handlers.
func (s *ikeSA) handle(ex wire.ExchangeType, ps []wire.Payload) ([]wire.Payload, error) {
	if x := s.handshakeFor(ex); x != nil {
		return x.request(s, ps)
	}
	if ex == wire.CreateChildSA {
		s.adoptIfUndecided()
	}
	switch {
	case ex == wire.CreateChildSA && proposesIKE(ps):
		return s.rekeyRequest(ps)
	case ex == wire.CreateChildSA:
		return s.childRequest(ps)
	case ex == wire.Informational:
		return s.informationalRequest(ps)
	}
	return nil, fatal(wire.InvalidSyntax, "an exchange out of its place")
}

// conclude answers a request with what its handler came to.
func (s *ikeSA) conclude(ps []wire.Payload, err error) {
	var notify *notifyError
	var end *fatalError
	switch {
	case errors.Is(err, errPending):
	case err == nil:
		s.answer(ps)
	case errors.As(err, &notify):
		s.e.count("ike_request_refused")
		s.answer([]wire.Payload{notify.notify})
		if s.state == saHalfOpen {
			s.end(endFailed, notify.text)
		}
	case errors.As(err, &end):
		s.answer([]wire.Payload{end.notify})
		s.end(endFailed, end.text)
	default:
		panic("ike: internal error: a handler's error of no kind: " + err.Error())
	}
}
