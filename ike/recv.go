package ike

import (
	"errors"
	"slices"

	"culvert/ike/suite"
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
	if half := e.sas.halfOpen.find(h); s == nil && half != nil {
		e.sas.halfOpen.message(half, d, h)
		return
	}
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
// IKE SA too, once we know it, which for a successor is when its keys are computed: "an endpoint
// [...] must look at the Initiator flag in the header to determine whether it assigned the first or
// the second eight octets" (RFC 7296, Section 2.6).
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
	if s.state != saConnecting && s.state != saEmbryo && known != theirs {
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
		s.fragment(d, h, outer, p)
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

// opened handles a message that is in the window, with its payloads. err is why it could not be
// opened (suite.ErrAuth) or what is malformed in its content.
func (s *ikeSA) opened(d Datagram, h wire.Header, digest [32]byte, ps []wire.Payload, err error) {
	if errors.Is(err, suite.ErrAuth) {
		s.e.count("ike_auth_failed")
		return
	}
	s.live.noteReceived(h.Response)
	if s.state == saHalfOpen {
		s.net.Path = d.Path
	} else {
		if h.Response {
			s.net.checkAnswered(h.MessageID, d.Path)
		}
		if !h.Response || !s.net.bothBehindNATs() {
			s.net.follow(d)
		}
		if !h.Response {
			s.askHeard()
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
