package ike

import (
	"fmt"
	"net/netip"

	"culvert/ike/budget"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// unprotectedLimits bounds what messages outside of every IKE SA can make us do.
type unprotectedLimits struct {
	cookies cookieJar
	budget.Unprotected
}

// unknownSPI handles a message whose SPIs are not those of an IKE SA. Only a request may be
// answered (RFC 7296, Section 2.21.4), and only a protected one is. The peer treats INVALID_IKE_SPI
// as a hint, since it is not protected, unless our token proves that it is from us.
func (e *Engine) unknownSPI(d Datagram, h wire.Header) {
	e.count("ike_unknown_spi")
	if h.Response || h.Exchange == wire.IKESAInit || e.heedInvalidSPI(d, h) {
		return
	}
	from := d.Path.Remote().Addr()
	if !e.unprotected.AllowAnswer(e.handling.now, from, e.knows(from)) {
		e.count("ike_errors_limited")
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil || !isProtected(m) {
		e.count("ike_malformed")
		return
	}
	tokens := e.lostTokens(h)
	if len(tokens) > 0 {
		e.count("ike_crash_tokens_sent")
	}
	e.sendError(d, h, wire.InvalidIKESPI, tokens...)
}

// knows reports whether an address is configured, or lately had an IKE SA.
func (e *Engine) knows(from netip.Addr) bool {
	return e.peers.configured(from) || e.sas.halfOpen.Knows(from)
}

// heedInvalidSPI reports whether the message is an unprotected INVALID_SPI, and takes it as a hint.
// Such a message has no answer.
func (e *Engine) heedInvalidSPI(d Datagram, h wire.Header) bool {
	if h.Exchange != wire.Informational || !h.Initiator || h.MessageID != 0 || len(d.Data) > maxInvalidSPI {
		return false
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		return false
	}
	n, ok := wire.FindNotify(m.Payloads, wire.InvalidSPI)
	if !ok {
		return false
	}
	e.hintAboutSPI(d, n.Data, m.Payloads)
	return true
}

// maxInvalidSPI is the greatest length in octets of an unprotected INVALID_SPI with what its sender
// may add.
const maxInvalidSPI = 1024

// refuseVersion answers a request of a higher major version (RFC 7296, Section 2.5). Messages of a
// lower one, such as IKEv1, are dropped, and told.
func (e *Engine) refuseVersion(d Datagram, h wire.Header) {
	e.count("ike_version")
	if h.MajorVersion < wire.MajorVersion {
		e.olderVersion(d, h)
		return
	}
	if h.Response || !e.unprotected.AllowError(e.handling.now) {
		return
	}
	e.sendError(d, h, wire.InvalidMajorVersion)
}

// olderVersion tells of a peer that calls by an older version of IKE, or answers our IKE_SA_INIT by
// one. The SPIs stand where IKEv1 has its cookies (RFC 2408, Section 3.1), of which the responder's
// is zero in the first message.
func (e *Engine) olderVersion(d Datagram, h wire.Header) {
	s := e.sas.bySPI[h.InitiatorSPI]
	switch {
	case s != nil && s.state == saConnecting && s.net.Remote().Addr() == d.Path.Remote().Addr():
		s.suspect(ofVersion(d, h))
	case s == nil && h.ResponderSPI == 0:
		e.callRefused(call{from: d.Path, event: eventCallRefused}, func() reason.Facts { return ofVersion(d, h) })
	}
}

// ofVersion says which version of IKE the sender of a message speaks.
func ofVersion(d Datagram, h wire.Header) reason.Facts {
	return reason.Facts{Cause: reason.Version, Why: fmt.Sprintf("the peer speaks IKEv%d", h.MajorVersion)}
}

// sendError answers a request with an unprotected error. It goes to the address and port that the
// request came from, with the SPIs, message ID and exchange type of the request (RFC 7296, Section
// 1.5).
func (e *Engine) sendError(d Datagram, h wire.Header, kind wire.NotifyType, more ...wire.Payload) {
	m := wire.Message{
		Header: wire.Header{
			InitiatorSPI: h.InitiatorSPI, ResponderSPI: h.ResponderSPI, Exchange: h.Exchange,
			Initiator: !h.Initiator, Response: true, MessageID: h.MessageID,
		},
		Payloads: append([]wire.Payload{&wire.Notify{Kind: kind}}, more...),
	}
	e.transmit(d.Path, [][]byte{m.AppendTo(nil)})
}

// unprotected handles an unprotected message to an IKE SA that has keys. An error in it is only a
// hint (RFC 7296, Sections 2.4 and 2.21.4), unless the peer's token is beside it.
func (s *ikeSA) unprotected(d Datagram, m *wire.Message) {
	s.e.count("ike_unprotected")
	if m.Response && s.token.proves(d, m.Payloads) {
		return
	}
	n, ok := wire.FindError(m.Payloads)
	if !ok || !m.Response {
		return
	}
	if s.state == saAuthenticating {
		s.setup.refusal = reason.Facts{Cause: reason.Answered, In: wire.IKEAuth, Answer: n.Kind, Why: "in a message without protection, which anybody can have sent"}
		s.e.touch(s.party)
		if n.Kind == wire.InvalidIKESPI {
			s.lostWhileAuthenticating()
		}
		return
	}
	s.saysLost()
	if n.Kind == wire.InvalidIKESPI {
		s.denied()
	}
}
