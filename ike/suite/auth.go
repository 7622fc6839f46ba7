package suite

import (
	"crypto/hmac"

	"culvert/ike/wire"
)

// keyPad is mixed into a shared secret, so that its stored form is of no use to other protocols. It
// has "17 ASCII characters without null termination" (RFC 7296, Section 2.15).
const keyPad = "Key Pad for IKEv2"

// SignedOctets is the input of the AUTH payload of one side: InitiatorSignedOctets or
// ResponderSignedOctets (RFC 7296, Section 2.15). It holds no key, so a slow signature over it may
// be computed while the IKE SA goes on or ends.
type SignedOctets struct {
	PRF *PRF
	// FirstMessage begins with the IKE header, without the non-ESP marker. Of a message that was
	// repeated with a cookie or another group, it is the last one.
	FirstMessage []byte
	PeerNonce    []byte // the other side's nonce
	MACedID      []byte // see the function MACedID
	// IntAuth covers the IKE_INTERMEDIATE exchanges before IKE_AUTH. It is empty if there were none
	// (RFC 9242, Section 3.3.2).
	IntAuth []byte
}

// MACedID returns MACedIDForI or MACedIDForR of an ID payload: prf(SK_pi, RestOfInitIDPayload) or
// prf(SK_pr, RestOfRespIDPayload). skp is the SK_p of the side that the payload names.
func MACedID(prf *PRF, skp []byte, id *wire.ID) []byte { return prf.Sum(skp, idBody(id)) }

// parts returns the parts of the octets in order.
func (o *SignedOctets) parts() [][]byte {
	return [][]byte{o.FirstMessage, o.PeerNonce, o.MACedID, o.IntAuth}
}

// idBody returns an ID payload without its generic header, as it stands on the wire:
// RestOfInitIDPayload or RestOfRespIDPayload.
func idBody(id *wire.ID) []byte {
	b := append([]byte{byte(id.IDType)}, id.Reserved[:]...)
	return append(b, id.Data...)
}

// Bytes returns the octets to sign.
func (o *SignedOctets) Bytes() []byte { return concat(o.parts()...) }

// PSKAuth returns the side's Authentication Data for a pre-shared key: prf(prf(Shared Secret, "Key
// Pad for IKEv2"), <SignedOctets>).
func (o *SignedOctets) PSKAuth(psk []byte) []byte {
	padded := o.PRF.Sum(psk, []byte(keyPad))
	defer clear(padded)
	return o.PRF.Sum(padded, o.parts()...)
}

// VerifyPSKAuth reports whether got is the Authentication Data that the peer's key makes, in
// constant time. An empty psk verifies nothing: it means that there is no key, and everybody knows
// the empty one.
func (o *SignedOctets) VerifyPSKAuth(got, psk []byte) bool {
	if len(psk) == 0 {
		return false
	}
	want := o.PSKAuth(psk)
	defer clear(want)
	return hmac.Equal(got, want)
}
