package ike

import "culvert/ike/wire"

// An IKE SA without a Child SA, which an initiator may ask for (RFC 6023, Sections 3 to 5). The
// Child SAs follow by CREATE_CHILD_SA when they are needed:
//
//	HDR, SAi1, KEi, Ni  -->
//	                    <--  HDR, SAr1, KEr, Nr, N(CHILDLESS_IKEV2_SUPPORTED)
//	HDR, SK {IDi, [IDr,] AUTH}  -->
//	                    <--  HDR, SK {IDr, AUTH}

// childlessSupported returns the notify by which a responder announces that it makes them. Its
// protocol is IKE's although it names no SPI (RFC 6023, Section 4).
func childlessSupported() *wire.Notify {
	return &wire.Notify{Protocol: wire.ProtoIKE, Kind: wire.ChildlessIKEv2Supported}
}

// asksForChild reports whether a request of IKE_AUTH asks for a Child SA. One that has a part of
// the payloads for it was refused before.
func asksForChild(ps []wire.Payload) bool {
	_, ok := wire.Find[*wire.SA](ps)
	return ok
}
