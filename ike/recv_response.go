package ike

import (
	"errors"

	"culvert/ike/child"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

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
	s.token.note(ps)
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
		return "the peer asks for EAP authentication, which is not supported; set it up for a pre-shared key or a certificate"
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
		s.tellFailed(x, reason.Facts{Cause: reason.Unusable, Why: why}.Trouble(), &wire.Delete{Protocol: wire.ProtoIKE})
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
	// What waits behind our Delete of the IKE SA, such as that of a Child SA, is not begun: nothing
	// would end the IKE SA after it.
	if own, ok := x.(*informational); ok && own.kind == askClose {
		s.end(child.EndLocal, why)
		return
	}
	if s.startNext(); !s.work.Busy() {
		s.end(child.EndLocal, why)
	}
}
