package ike

import (
	"errors"

	"culvert/ike/child"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// takeRequest passes a request to its handler and answers it, unless the answer has to wait.
func (s *ikeSA) takeRequest(d Datagram, h wire.Header, ps []wire.Payload, err error) {
	if err != nil {
		s.e.count("ike_malformed")
		err = fatal(wire.InvalidSyntax, "malformed request: "+err.Error())
	} else if typ, critical := wire.UnsupportedCritical(ps); critical {
		s.e.count("ike_critical_payload")
		err = &notifyError{notify: &wire.Notify{Kind: wire.UnsupportedCriticalPayload, Data: []byte{byte(typ)}}, text: "unsupported critical payload"}
	}
	if err == nil {
		ps, err = s.handle(h.Exchange, ps)
	}
	s.conclude(ps, err)
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
	s.token.note(ps)
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

// refuseMalformed returns the refusal of a request that breaks the rule of its exchange. Before
// authentication the reason is recorded as that of a refused call. An initiator that
// wants EAP leaves out AUTH (RFC 7296, Section 2.16).
func (s *ikeSA) refuseMalformed(ex wire.ExchangeType, ps []wire.Payload, err error) error {
	if ex != wire.IKEAuth || s.state != saHalfOpen {
		return fatal(wire.InvalidSyntax, "malformed request: "+err.Error())
	}
	idi, named := wire.FindID(ps, false)
	_, auth := wire.Find[*wire.Auth](ps)
	kind, why, cause := wire.InvalidSyntax, "malformed IKE_AUTH request: "+err.Error(), reason.Unusable
	if named && !auth {
		kind, why, cause = wire.AuthenticationFailed, "it wants EAP authentication, which is not supported; set it up for a pre-shared key or a certificate", reason.Method
		s.e.count("ike_authentication_failed")
	}
	c := call{from: s.net.Path, reached: true, claims: s.claimed(idi, ps), event: eventCallRefused}
	s.e.callRefused(c, func() reason.Facts { return reason.Facts{Cause: cause, Why: why} })
	return fatal(kind, why)
}

// conclude answers a request with the result of its handler.
func (s *ikeSA) conclude(ps []wire.Payload, err error) {
	var notify *notifyError
	var end *fatalError
	switch {
	case errors.Is(err, errPending):
		s.waitWithAnswer()
	case err == nil:
		s.answer(ps)
	case errors.As(err, &notify):
		s.e.count("ike_request_refused")
		s.answer([]wire.Payload{notify.notify})
		if notify.facts != nil {
			s.fails("request-refused", notify.facts.Trouble())
		}
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
