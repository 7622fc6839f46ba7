package ike

import (
	"time"

	"culvert/ike/wire"
)

// unprotectedLimits bounds what messages outside of every IKE SA can make us do (RFC 7296, Sections
// 1.5 and 2.21.4).
type unprotectedLimits struct {
	cookies     cookieJar
	errors      rate
	diagnostics [2]rate // of strangers, and of calls from configured addresses
}

const (
	// maxErrors is the number of unprotected errors that we send in a second at most (RFC 7296,
	// Section 2.21.4, requires a limit).
	maxErrors = 10
	// maxDiagnostics is the number of refused calls in a second that are explained to operators at
	// most, of strangers and of configured addresses each. Comparing with thousands of proposals
	// costs more than the refusal, and each explanation may become a line of the log.
	maxDiagnostics = 10
)

// A rate counts events within one second.
type rate struct {
	second time.Time
	count  int
}

// allow counts an event, and reports whether the second has had no more than most.
func (r *rate) allow(now time.Time, most int) bool {
	if now.Sub(r.second) >= time.Second || now.Before(r.second) {
		r.second, r.count = now, 0
	}
	r.count++
	return r.count <= most
}

// allowError counts an unprotected error, and reports whether it may be sent.
func (o *unprotectedLimits) allowError(now time.Time) bool { return o.errors.allow(now, maxErrors) }

// allowDiagnostic counts an explanation of a call, from a configured address or a stranger's, and
// reports whether it may be made.
func (o *unprotectedLimits) allowDiagnostic(now time.Time, configured bool) bool {
	which := 0
	if configured {
		which = 1
	}
	return o.diagnostics[which].allow(now, maxDiagnostics)
}

// unknownSPI handles a message whose SPIs are not those of an IKE SA. Only a request may be
// answered (RFC 7296, Section 2.21.4). The peer treats INVALID_IKE_SPI as a hint, since it is not
// protected.
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

// refuseVersion answers a request of a higher major version (RFC 7296, Section 2.5). Messages of a
// lower one, such as IKEv1, are dropped.
func (e *Engine) refuseVersion(d Datagram, h wire.Header) {
	e.count("ike_version")
	if h.MajorVersion < wire.MajorVersion || h.Response || !e.unprotected.allowError(e.handling.now) {
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
