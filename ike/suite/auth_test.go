package suite

import (
	"bytes"
	"testing"

	"culvert/ike/wire"
)

func TestSignedOctets(t *testing.T) {
	prf := prfs[wire.PRFHMACSHA2256]
	o := &SignedOctets{PRF: prf, FirstMessage: []byte("message"), PeerNonce: []byte("nonce"), MACedID: MACedID(prf, []byte("SK_p"), &wire.ID{IDType: wire.IDFQDN, Data: []byte("a.example")})}
	octets := append([]byte("messagenonce"), prf.Sum([]byte("SK_p"), []byte("\x02\x00\x00\x00a.example"))...)
	if got := o.Bytes(); !bytes.Equal(got, octets) {
		t.Errorf("got %x, want %x", got, octets)
	}
	want := prf.Sum(prf.Sum([]byte("psk"), []byte("Key Pad for IKEv2")), octets)
	if got := o.PSKAuth([]byte("psk")); !bytes.Equal(got, want) {
		t.Errorf("AUTH is %x, want %x", got, want)
	}
}

// TestSignedOctetsReserved: the reserved octets of an ID payload must be ignored, but AUTH covers
// them as received (RFC 7296, Section 2.15: "RestOfInitIDPayload = IDType | RESERVED |
// InitIDData").
func TestSignedOctetsReserved(t *testing.T) {
	prf := prfs[wire.PRFHMACSHA2256]
	body := []byte("\x02\x01\x02\x03a.example")
	ps, err := wire.ParsePayloads(wire.PayloadIDi, append([]byte{0, 0, 0, byte(4 + len(body))}, body...))
	if err != nil {
		t.Fatal(err)
	}
	o := &SignedOctets{PRF: prf, FirstMessage: []byte("message"), PeerNonce: []byte("nonce"), MACedID: MACedID(prf, []byte("SK_p"), ps[0].(*wire.ID))}
	if want := append([]byte("messagenonce"), prf.Sum([]byte("SK_p"), body)...); !bytes.Equal(o.Bytes(), want) {
		t.Errorf("got %x, want %x", o.Bytes(), want)
	}
}

// TestNoPSK: without a pre-shared key no peer is authenticated, not even one that has none either.
func TestNoPSK(t *testing.T) {
	o := &SignedOctets{PRF: prfs[wire.PRFHMACSHA2256], FirstMessage: []byte("message"), PeerNonce: []byte("nonce"), MACedID: MACedID(prfs[wire.PRFHMACSHA2256], []byte("SK_p"), &wire.ID{IDType: wire.IDKeyID, Data: []byte("a")})}
	if o.VerifyPSKAuth(o.PSKAuth(nil), nil) || o.VerifyPSKAuth(nil, nil) || o.VerifyPSKAuth(nil, []byte("psk")) {
		t.Error("somebody without a key was authenticated")
	}
}
