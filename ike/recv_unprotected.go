package ike

import (
	"time"

	"culvert/ike/wire"
)

// unprotectedLimits is what concerns messages unprotectedLimits of every IKE SA (RFC 7296, Sections 1.5 and 2.21.4).
type unprotectedLimits struct {
	cookies     cookieJar
	errors      rate
	diagnostics rate
}

const (
	// maxErrors bounds the unprotected errors that we send in a second: "A node needs to limit the rate at which it will send messages in response to
	// unprotected messages."
	maxErrors = 10
	// maxDiagnostics bounds how often in a second strangers are looked into for people to read: finding the first difference to thousands of proposals costs
	// more than refusing them, and each may become a line in a log.
	maxDiagnostics = 10
)

// rate counts what happens in a second.
type rate struct {
	second time.Time
	count  int
}

func (r *rate) allow(now time.Time, most int) bool {
	if now.Sub(r.second) >= time.Second || now.Before(r.second) {
		r.second, r.count = now, 0
	}
	r.count++
	return r.count <= most
}

// allowError counts an error against the limit.
func (o *unprotectedLimits) allowError(now time.Time) bool { return o.errors.allow(now, maxErrors) }

// allowDiagnostic counts a word to people about a stranger against the limit.
func (o *unprotectedLimits) allowDiagnostic(now time.Time) bool {
	return o.diagnostics.allow(now, maxDiagnostics)
}

// unknownSPI is a message to an IKE SA that is not. Only a request may be answered: "If the message is marked as a response, the node can audit the
// suspicious event but MUST NOT respond." An answer of this kind to us is a request or response without state, too, and only a hint.
func (e *Engine) unknownSPI(d Datagram, h wire.Header) {
	e.count("ike_unknown_spi")
	if h.Response || h.Exchange == wire.IKESAInit {
		return
	}
	if !e.unprotected.allowError(e.handling.now) {
		e.count("ike_errors_limited")
		return
	}
	e.sendError(d, h, wire.InvalidIKESPI)
}

// refuseVersion answers a request of a higher major version (RFC 7296, Section 2.5); a lower one, such as IKEv1, is dropped.
func (e *Engine) refuseVersion(d Datagram, h wire.Header) {
	e.count("ike_version")
	if h.MajorVersion < wire.MajorVersion || h.Response || !e.unprotected.allowError(e.handling.now) {
		return
	}
	e.sendError(d, h, wire.InvalidMajorVersion)
}

// sendError sends an unprotected error: "a response message, and thus it is sent to the IP address and port from whence it came with the same IKE SPIs and the
// Message ID and Exchange Type are copied from the request. The Response flag is set to 1" (RFC 7296, Section 1.5).
func (e *Engine) sendError(d Datagram, h wire.Header, kind wire.NotifyType) {
	m := wire.Message{
		Header: wire.Header{
			InitiatorSPI: h.InitiatorSPI, ResponderSPI: h.ResponderSPI, Exchange: h.Exchange,
			Initiator: !h.Initiator, Response: true, MessageID: h.MessageID,
		},
		Payloads: []wire.Payload{&wire.Notify{Kind: kind}},
	}
	e.transmit(pathOf(d), [][]byte{m.AppendTo(nil)})
}
