package ike

import (
	"errors"
	"slices"

	"culvert/ike/budget"
	"culvert/ike/child"
	"culvert/ike/suite"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// Every datagram takes the same steps: header, version, IKE SA, window, SK{} opened, payload rules,
// handler. Nothing of an IKE SA changes before SK{} is opened.

// datagram handles an IKE message from the network. A panic ends only the handling of this message.
func (e *Engine) datagram(d Datagram) {
	defer func() {
		if why := recover(); why != nil {
			e.recovered(why)
		}
	}()
	h, err := wire.ParseHeader(d.Data)
	if err != nil || !d.Path.IsValid() {
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

// lookup returns the IKE SA with our SPI of the header, or nil. The other SPI must be that of the
// IKE SA too, once we know it: "an endpoint [...] must look at the Initiator flag in the header to
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

// expects reports whether the state of the IKE SA allows such a message. It is asked before the
// message is opened, to spare the work for those that are not allowed.
func (s *ikeSA) expects(h wire.Header) bool {
	switch s.state {
	case saEmbryo:
		return false
	case saConnecting:
		return h.Exchange == wire.IKESAInit && h.Response && h.MessageID == 0
	case saAuthenticating:
		return h.Response // the window compares the exchange type with the request's
	case saHalfOpen:
		return !h.Response && s.keys.in != nil && s.awaits(h.Exchange)
	}
	if !h.Response && s.awaits(h.Exchange) {
		return true
	}
	if h.Exchange == wire.IKEAuth && h.Response { // to a request that has been withdrawn
		return s.state == saClosing && s.initiator
	}
	if h.Exchange == wire.IKEAuth { // a copy of the request that we answered
		return s.win.IsLast(h.MessageID)
	}
	if out := s.win.Outstanding(); h.Response && out != nil && h.Exchange == out.Exchange {
		return true
	}
	return h.Exchange == wire.CreateChildSA || h.Exchange == wire.Informational
}

// message handles a message that expects allows: it checks the window, then opens SK{}.
func (s *ikeSA) message(d Datagram, h wire.Header) {
	if s.state != saConnecting && !s.inWindow(d, h) {
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil && s.state == saConnecting {
		s.malformedInit(err)
		return
	}
	if err != nil {
		s.e.count("ike_malformed")
		return
	}
	if s.state == saConnecting {
		s.initResponse(d, m)
		return
	}
	if len(m.Payloads) == 0 || !allUnknown(m.Payloads[:len(m.Payloads)-1]) {
		s.unprotected(d, m)
		return
	}
	outer, closing := m.Payloads[:len(m.Payloads)-1], m.Payloads[len(m.Payloads)-1]
	switch p := closing.(type) {
	case *wire.Encrypted:
		ps, err := s.keys.in.Open(d.Data, p)
		s.opened(d, h, digestOf(d.Data), append(outer, ps...), err)
	case *wire.EncryptedFragment:
		s.fragment(d, h, p)
	default:
		s.unprotected(d, m)
	}
}

// allUnknown reports whether the payloads are all of unknown types. Such payloads may stand before
// SK{}, which covers them by its checksum, and are treated as if they stood in it: skipped, or
// refused if they are critical (RFC 7296, Sections 2.5 and 3.14).
func allUnknown(ps []wire.Payload) bool {
	return !slices.ContainsFunc(ps, func(p wire.Payload) bool {
		_, unknown := p.(*wire.Unknown)
		return !unknown
	})
}

// unprotected handles an unprotected message to an IKE SA that has keys. An error in it is only a
// hint (RFC 7296, Sections 2.4 and 2.21.4), unless the peer's token is beside it.
func (s *ikeSA) unprotected(d Datagram, m *wire.Message) {
	s.e.count("ike_unprotected")
	if m.Response && s.crashed(d, m.Payloads) {
		return
	}
	n, ok := wire.FindError(m.Payloads)
	if !ok || !m.Response {
		return
	}
	if s.state == saAuthenticating {
		s.setup.refusal = child.Trouble{Reason: "unprotected response to IKE_AUTH: " + n.Kind.String()}
		s.e.touch(s.party)
		return
	}
	s.live.hint(lostCheck)
}

// fragment opens a fragment, and handles the message once all of its fragments are there.
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
	m, complete := r.Add(f, plain, digestOf(d.Data), s.maxReassembled())
	if s.state == saHalfOpen && !s.chargeFragments(r) {
		s.e.count("ike_fragment_refused")
		return
	}
	if !complete {
		return
	}
	ps, err := wire.ParsePayloads(m.First, m.Plain)
	s.opened(d, h, m.Digest, ps, err)
}

// maxReassembled returns the most octets that a message in fragments may have.
func (s *ikeSA) maxReassembled() int {
	if s.state == saHalfOpen {
		return budget.MaxMessage
	}
	return window.MaxReassembled
}

// fragmentOfLast handles a fragment of the last request that differs from its first copy. If it is
// authentic, the peer has fragmented the request to another size, and the first fragment triggers
// the response again (RFC 7383, Section 2.6.1).
func (s *ikeSA) fragmentOfLast(d Datagram, f *wire.EncryptedFragment) {
	if f.Number != 1 {
		return
	}
	if _, err := s.keys.in.OpenFragment(d.Data, f); errors.Is(err, suite.ErrAuth) {
		s.e.count("ike_auth_failed")
		return
	}
	s.e.count("ike_duplicate_request")
	s.repeatResponse(d.Path)
}

// opened handles a message that is in the window, with its payloads. err is why it could not be
// opened (suite.ErrAuth) or what is malformed in its content.
func (s *ikeSA) opened(d Datagram, h wire.Header, digest [32]byte, ps []wire.Payload, err error) {
	if errors.Is(err, suite.ErrAuth) {
		s.e.count("ike_auth_failed")
		return
	}
	s.live.noteReceived()
	if s.state == saHalfOpen {
		s.net.Path = d.Path
	} else {
		if h.Response {
			s.net.checkAnswered(h.MessageID, d.Path)
		}
		if !h.Response || !s.net.bothBehindNATs() {
			s.net.follow(d)
		}
	}
	if h.Response {
		s.takeResponse(h, ps, err)
		if s.net.bothBehindNATs() { // the request that it answers can ask nothing more
			s.net.follow(d)
		}
	} else {
		s.request(d, h, digest, ps, err)
	}
	s.rekeyBeforeIDsRunOut()
}

// takeResponse passes a response to the exchange that waits for it. "If there is an error parsing
// or processing a response packet, the general rule is to not send back any error message [...].
// Such errors [...] should still cause the recipient to clean up the IKE state" (RFC 7296, Section
// 2.21).
func (s *ikeSA) takeResponse(h wire.Header, ps []wire.Payload, err error) {
	s.answered()
	_, critical := wire.UnsupportedCritical(ps)
	if err == nil {
		err = s.checkResponse(h.Exchange, ps)
	}
	if _, fatal := wire.FindNotify(ps, wire.InvalidSyntax); fatal && h.Exchange != wire.IKEAuth {
		// Both sides treat it as fatal, and no Delete is needed (RFC 7296, Section 2.21.3).
		s.end(child.EndPeer, "the peer answered INVALID_SYNTAX")
		return
	}
	x := s.work.Current()
	if critical {
		err = errors.New("unsupported critical payload")
	}
	if err != nil || x == nil {
		s.e.count("ike_malformed")
		s.malformedResponse(x, whyMalformed(h.Exchange, ps, err))
		return
	}
	s.noteCrashToken(ps)
	x.response(s, ps)
}

// checkResponse checks the payloads of a response against the rule of its exchange.
func (s *ikeSA) checkResponse(ex wire.ExchangeType, ps []wire.Payload) error {
	if x, ok := s.work.Current().(ruled); ok {
		return x.responseRule().check(ex, true, ps)
	}
	return checkPayloads(ex, true, ps)
}

// whyMalformed describes a response that breaks the rule of its exchange, by what its sender wants
// if that is known.
func whyMalformed(ex wire.ExchangeType, ps []wire.Payload, err error) string {
	_, eap := wire.Find[*wire.EAP](ps)
	switch {
	case ex == wire.IKEAuth && eap:
		return "the peer asks for EAP authentication, which is not supported; set it up for a pre-shared key"
	case err == nil:
		return "malformed response from the peer"
	}
	return "malformed response from the peer: " + err.Error()
}

// malformedResponse ends the IKE SA with a Delete, which is the next exchange: after IKE_AUTH as
// well, whose responder has authenticated us. If the response was to our Delete, the IKE SA ends at
// once.
func (s *ikeSA) malformedResponse(x exchange, why string) {
	if x != nil && s.state == saAuthenticating {
		s.tellFailed(x, why, nil, &wire.Delete{Protocol: wire.ProtoIKE})
		return
	}
	if x != nil && !s.state.beforeAuth() {
		s.work.Done(x)
		x.abandon(s, why)
	}
	if s.state != saClosing {
		s.fail(why)
		return
	}
	if s.startNext(); !s.work.Busy() {
		s.end(child.EndLocal, why)
	}
}

// takeRequest passes a request to its handler and answers it, unless the answer has to wait.
func (s *ikeSA) takeRequest(d Datagram, h wire.Header, ps []wire.Payload, err error) {
	if err != nil {
		s.e.count("ike_malformed")
		err = fatal(wire.InvalidSyntax, "malformed request: "+err.Error())
	} else if typ, critical := wire.UnsupportedCritical(ps); critical {
		s.e.count("ike_critical_payload")
		err = &notifyError{&wire.Notify{Kind: wire.UnsupportedCriticalPayload, Data: []byte{byte(typ)}}, "unsupported critical payload"}
	}
	if err == nil {
		ps, err = s.handle(h.Exchange, ps)
	}
	s.conclude(ps, err)
}

// refuseMalformed returns the refusal of a request that breaks the rule of its exchange. Before
// authentication the reason is recorded as that of a refused call. An initiator that
// wants EAP leaves out AUTH (RFC 7296, Section 2.16); one that wants no Child SA leaves out the
// payloads for it, and is answered INVALID_SYNTAX (RFC 6023, Section 3).
func (s *ikeSA) refuseMalformed(ex wire.ExchangeType, ps []wire.Payload, err error) error {
	if ex != wire.IKEAuth || s.state != saHalfOpen {
		return fatal(wire.InvalidSyntax, "malformed request: "+err.Error())
	}
	idi, named := wire.FindID(ps, false)
	_, auth := wire.Find[*wire.Auth](ps)
	_, child := wire.Find[*wire.SA](ps)
	kind, why := wire.InvalidSyntax, "malformed IKE_AUTH request: "+err.Error()
	switch {
	case named && !auth:
		kind, why = wire.AuthenticationFailed, "it wants EAP authentication, which is not supported; set it up for a pre-shared key"
		s.e.count("ike_authentication_failed")
	case named && !child:
		why = "it wants an IKE SA without a Child SA (RFC 6023), which is not supported; give it traffic selectors"
	}
	s.e.callRefused(call{from: s.net.Path, claims: s.claimed(idi, ps), event: eventCallRefused, why: s.net.Remote().String() + ": " + why})
	return fatal(kind, why)
}

// handle checks the payloads of a request against the rule of its exchange, calls its handler, and
// returns the answer.
func (s *ikeSA) handle(ex wire.ExchangeType, ps []wire.Payload) ([]wire.Payload, error) {
	x, err := s.handshakeFor(ex, ps), error(nil)
	if x != nil {
		err = x.rule().check(ex, false, ps)
	} else {
		err = checkPayloads(ex, false, ps)
	}
	if err != nil {
		s.e.count("ike_malformed")
		return nil, s.refuseMalformed(ex, ps, err)
	}
	s.noteCrashToken(ps)
	switch {
	case x != nil:
		if x != s.handshake {
			s.handshake = nil
		}
		return x.request(s, ps)
	case ex == wire.Informational:
		return s.informationalRequest(ps)
	}
	return nil, fatal(wire.InvalidSyntax, "unexpected exchange in this state")
}

// conclude answers a request with the result of its handler.
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
			s.end(child.EndFailed, notify.text)
		}
	case errors.As(err, &end):
		s.answer([]wire.Payload{end.notify})
		s.end(child.EndFailed, end.text)
	default:
		panic("ike: internal error: unexpected error of a handler: " + err.Error())
	}
}
