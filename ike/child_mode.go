package ike

import (
	"errors"

	"culvert/ike/child"
	"culvert/ike/wire"
)

// Child SAs are in tunnel mode. A peer that asks for transport mode is not refused: "If the
// responder declines the request, the Child SA will be established in tunnel mode" (RFC 7296,
// Section 1.3.1), and the initiator deletes it if it cannot use that.

// asksForTransport reports whether a message asks for transport mode, or agrees to it.
func asksForTransport(ps []wire.Payload) bool {
	_, ok := wire.FindNotify(ps, wire.UseTransportMode)
	return ok
}

// tellMode gives notice of a new pair for which the peer asked for transport mode.
func (a *childAnswer) tellMode(p *child.Pair) {
	if a.transport && a.old == nil {
		p.Report("transport-declined", "the peer asked for transport mode, which is not supported: the Child SA is in tunnel mode; set up tunnel mode at the peer")
	}
}

// errTransport means that a peer agreed to transport mode, for which we never ask: it would drop
// whole packets, and send none.
var errTransport = errors.New("it is in transport mode, which was not asked for")
