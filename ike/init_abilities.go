package ike

import (
	"bytes"

	"culvert/ike/wire"
)

// abilities are what a culvert can do with another one beyond the RFCs. Both announce theirs in
// IKE_SA_INIT, the responder if the initiator did, by a Vendor ID payload (RFC 7296, Section 3.12):
//
//	abilitiesVendorID   20 octets
//	abilities           1 octet, a bit for each
//	what is to come     ignored
//
// What both announce is in force. Nothing in IKE_SA_INIT is protected until AUTH covers it, as it
// does each side's whole message. In the response of IKE_AUTH the responder announces again what it
// allows the initiator, whom it knows by then, and the rest is off.
type abilities uint8

const (
	// ableUDP: UDP encapsulation of ESP is welcome where there is no NAT.
	ableUDP abilities = 1 << iota
	// ablePorts: ESP of a Child SA for a single resource may come in UDP from any port, and tells
	// nothing of where the sender's IKE is.
	ablePorts
	// atNATPort tells something else: in the response of IKE_AUTH it says that the request came at
	// the NAT port, and that ESP is sent accordingly. A request may be sent at both ports.
	atNATPort abilities = 1 << 7
)

const abilitiesVendorID = "culvert: abilities 1"

// octets returns the data of the Vendor ID payload.
func (a abilities) octets() []byte { return append([]byte(abilitiesVendorID), byte(a)) }

// payload returns the Vendor ID payload; nothing without any abilities.
func (a abilities) payload() []wire.Payload {
	if a == 0 {
		return nil
	}
	return []wire.Payload{&wire.VendorID{Data: a.octets()}}
}

// abilitiesIn returns the abilities that payloads announce. Of several announcements the first
// counts.
func abilitiesIn(ps []wire.Payload) abilities {
	for _, p := range ps {
		if v, ok := p.(*wire.VendorID); ok {
			if a, ok := bytes.CutPrefix(v.Data, []byte(abilitiesVendorID)); ok && len(a) > 0 {
				return abilities(a[0])
			}
		}
	}
	return 0
}

// abilities returns those that the terms allow.
func (t initTerms) abilities() abilities {
	switch t.encap {
	case EncapAuto:
		return ableUDP | ablePorts
	case EncapAlways:
		return ablePorts
	}
	return 0
}

// ownAbilities returns what an initiator announces. A connection carries ESP as it is.
func (s *ikeSA) ownAbilities() abilities {
	if s.net.Stream() {
		return 0
	}
	return s.e.able & s.setup.terms.abilities()
}
