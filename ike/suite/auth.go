package suite

import (
	"crypto/hmac"

	"culvert/ike/wire"
)

// keyPad makes the stored form of a shared secret useless to other protocols: "17 ASCII characters without null termination" (RFC 7296, Section 2.15).
const keyPad = "Key Pad for IKEv2"

// SignedOctets is what the AUTH payload of one side covers: InitiatorSignedOctets or
// ResponderSignedOctets (RFC 7296, Section 2.15). It holds no key, so that a slow signature can be
// made of it while the IKE SA goes on or ends.
type SignedOctets struct {
	PRF *PRF
	// FirstMessage begins with the IKE header, without the non-ESP marker. Of a message that was sent
	// several times, with a cookie or another group, it is the last.
	FirstMessage []byte
	PeerNonce    []byte // the nonce of the other side
	MACedID      []byte // see the function MACedID
	// IntAuth covers the IKE_INTERMEDIATE exchanges before IKE_AUTH; without any it is empty (RFC
	// 9242, Section 3.3.2).
	IntAuth []byte
}

// MACedID returns MACedIDForI or MACedIDForR of an ID payload: prf(SK_pi, RestOfInitIDPayload) or
// prf(SK_pr, RestOfRespIDPayload), with the SK_p of the side that the payload names.
func MACedID(prf *PRF, skp []byte, id *wire.ID) []byte { return prf.Sum(skp, idBody(id)) }

// parts returns the parts of the octets, in their order.
func (o *SignedOctets) parts() [][]byte {
	return [][]byte{o.FirstMessage, o.PeerNonce, o.MACedID, o.IntAuth}
}

// idBody is an ID payload without its generic header, as it was or is sent: RestOfInitIDPayload and RestOfRespIDPayload.
func idBody(id *wire.ID) []byte {
	b := append([]byte{byte(id.IDType)}, id.Reserved[:]...)
	return append(b, id.Data...)
}

// Bytes is what a signature is made of.
func (o *SignedOctets) Bytes() []byte { return concat(o.parts()...) }

// PSKAuth is the side's Authentication Data with a pre-shared key: prf(prf(Shared Secret, "Key Pad for IKEv2"), <SignedOctets>).
func (o *SignedOctets) PSKAuth(psk []byte) []byte {
	padded := o.PRF.Sum(psk, []byte(keyPad))
	defer clear(padded)
	return o.PRF.Sum(padded, o.parts()...)
}

// VerifyPSKAuth compares the peer's Authentication Data with what it has to be, in constant time. Without a key nothing is right: to have none is not
// to have the empty one, which everybody knows.
func (o *SignedOctets) VerifyPSKAuth(got, psk []byte) bool {
	if len(psk) == 0 {
		return false
	}
	want := o.PSKAuth(psk)
	defer clear(want)
	return hmac.Equal(got, want)
}
