package ike

import (
	"culvert/ike/budget"
	"culvert/ike/wire"
)

// unprotectedLimits bounds what messages outside of every IKE SA can make us do.
type unprotectedLimits struct {
	cookies cookieJar
	budget.Unprotected
}

// unknownSPI handles a message whose SPIs are not those of an IKE SA. Only a request may be
// answered (RFC 7296, Section 2.21.4). The peer treats INVALID_IKE_SPI as a hint, since it is not
// protected.
func (e *Engine) unknownSPI(d Datagram, h wire.Header) {
	e.count("ike_unknown_spi")
	if h.Response || h.Exchange == wire.IKESAInit {
		return
	}
	if !e.unprotected.AllowError(e.handling.now) {
		e.count("ike_errors_limited")
		return
	}
	e.sendError(d, h, wire.InvalidIKESPI)
}

// refuseVersion answers a request of a higher major version (RFC 7296, Section 2.5). Messages of a
// lower one, such as IKEv1, are dropped.
func (e *Engine) refuseVersion(d Datagram, h wire.Header) {
	e.count("ike_version")
	if h.MajorVersion < wire.MajorVersion || h.Response || !e.unprotected.AllowError(e.handling.now) {
		return
	}
	e.sendError(d, h, wire.InvalidMajorVersion)
}

// sendError answers a request with an unprotected error. It goes to the address and port that the
// request came from, with the SPIs, message ID and exchange type of the request (RFC 7296, Section
// 1.5).
func (e *Engine) sendError(d Datagram, h wire.Header, kind wire.NotifyType) {
	m := wire.Message{
		Header: wire.Header{
			InitiatorSPI: h.InitiatorSPI, ResponderSPI: h.ResponderSPI, Exchange: h.Exchange,
			Initiator: !h.Initiator, Response: true, MessageID: h.MessageID,
		},
		Payloads: []wire.Payload{&wire.Notify{Kind: kind}},
	}
	e.transmit(d.Path, [][]byte{m.AppendTo(nil)})
}
