package ike

import (
	"errors"
	"fmt"
	"testing"

	"culvert/ike/certificate"
	"culvert/ike/identity"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// TestCauseOf: what of a proof is not accepted, by its error.
func TestCauseOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want reason.Cause
	}{
		{wrongIdentity("x"), reason.Identity}, {wrongMethod("x"), reason.Method}, {fmt.Errorf("so: %w", errSecret), reason.Secret},
		{errComputation, reason.Own}, {certificate.FaultOf(nil, "x"), reason.Certificate}, {errors.New("x"), reason.Certificate},
	} {
		if got := causeOf(tt.err); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
}

// TestProofIn: by what a message proves who its sender is.
func TestProofIn(t *testing.T) {
	auth := func(m wire.AuthMethod) wire.Payload { return &wire.Auth{Method: m} }
	cert := func(e wire.CertEncoding) wire.Payload { return &wire.Cert{Encoding: e} }
	for want, ps := range map[string][]wire.Payload{
		"":                    nil,
		reason.PSK:            {auth(wire.AuthSharedKey)},
		reason.Cert:           {cert(wire.CertRawPublicKey), cert(wire.CertX509Signature), auth(wire.AuthDigitalSignature)},
		reason.Key:            {cert(wire.CertRawPublicKey), auth(wire.AuthDigitalSignature)},
		"NULL Authentication": {auth(wire.AuthNull)},
	} {
		if got := proofIn(ps); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestPeerRejectsOurProof: a responder that is rejected in INFORMATIONAL says so in its status, its
// events, and with both identities.
func TestPeerRejectsOurProof(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.right.peers[0].LocalID = identity.ID{Type: wire.IDFQDN, Data: "other.example.com"}
	})
	p.left.connect("")
	p.drive(10e9)
	const want = "the peer rejected our authentication with AUTHENTICATION_FAILED: the pre-shared keys differ, or it accepts none, or it does not expect other.example.com, or is not left.example.com; the other side's log knows which"
	st := p.right.e.Status()[0]
	if st.Failure.Cause != reason.Rejected || st.Failure.Reason != want || len(st.Failure.Explain) != 3 || st.Failure.At.IsZero() {
		p.fatalf("the status has %+v", st.Failure)
	}
	if n := p.wantNotice(p.right, eventAuthFailed); n.Text != want || n.Failure == nil || n.Failure.Cause != reason.Rejected {
		p.fatalf("the event is %+v", n)
	}
}
