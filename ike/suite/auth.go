package suite

import (
	"crypto/hmac"

	"culvert/ike/wire"
)

// keyPad makes the stored form of a shared secret useless to other protocols: "17 ASCII characters without null termination" (RFC 7296, Section 2.15).
const keyPad = "Key Pad for IKEv2"

// IDBody is an ID payload without its generic header: RestOfInitIDPayload and RestOfRespIDPayload of RFC 7296, Section 2.15.
func IDBody(id *wire.ID) []byte {
	return append([]byte{byte(id.IDType), 0, 0, 0}, id.Data...)
}

// SignedOctets is what the AUTH payload of one side covers: that side's first message, the other side's nonce, and its own ID payload by way of its own SK_p
// (RFC 7296, Section 2.15). firstMessage begins with the IKE header, without the non-ESP marker; of a message sent several times, with a cookie or another
// group, it is the last.
func SignedOctets(prf *PRF, firstMessage, peerNonce, skp, idBody []byte) []byte {
	return concat(firstMessage, peerNonce, prf.Sum(skp, idBody))
}

// PSKAuth is the Authentication Data of one side with a pre-shared key (RFC 7296, Section 2.15). The other arguments are those of SignedOctets.
func PSKAuth(prf *PRF, psk, firstMessage, peerNonce, skp, idBody []byte) []byte {
	padded := prf.Sum(psk, []byte(keyPad))
	defer clear(padded)
	return prf.Sum(padded, firstMessage, peerNonce, prf.Sum(skp, idBody))
}

// VerifyPSKAuth compares the peer's Authentication Data with what it has to be, in constant time: firstMessage, skp and idBody are the peer's,
// peerNonce is ours.
func VerifyPSKAuth(got []byte, prf *PRF, psk, firstMessage, peerNonce, skp, idBody []byte) bool {
	want := PSKAuth(prf, psk, firstMessage, peerNonce, skp, idBody)
	defer clear(want)
	return hmac.Equal(got, want)
}
