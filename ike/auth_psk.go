package ike

import (
	"errors"
	"fmt"

	"culvert/ike/certificate"
	"culvert/ike/wire"
)

// PSK is the Credential of a pre-shared key (RFC 7296, Section 2.15).
type PSK []byte

// Init implements Credential. A responder's caller may be another peer, with a choice (RFC 9593).
func (PSK) Init(initiator bool) []wire.Payload {
	if initiator {
		return nil
	}
	return []wire.Payload{certificate.AnnouncePSK()}
}

// Ask implements Credential.
func (PSK) Ask() []wire.Payload { return nil }

// Prove implements Credential.
func (k PSK) Prove(a *Authentication) ([]wire.Payload, error) {
	return []wire.Payload{&wire.Auth{Method: wire.AuthSharedKey, Data: a.Signed.PSKAuth(k)}}, nil
}

// Accepts implements Credential.
func (PSK) Accepts(auth *wire.Auth, _ []wire.Payload) error {
	if auth.Method != wire.AuthSharedKey {
		return fmt.Errorf("authenticates with %v, not with a pre-shared key", auth.Method)
	}
	return nil
}

// Verify implements Credential.
func (k PSK) Verify(a *Authentication) (func() error, error) {
	if !a.Signed.VerifyPSKAuth(a.auth().Data, k) {
		return nil, errSecret
	}
	return nil, nil
}

// errSecret means that the peer has another secret.
var errSecret = errors.New("the pre-shared keys differ")

// Slow implements Credential.
func (PSK) Slow() bool { return false }

// rotatedPSK is the Credential of a pre-shared key that is being replaced: the peer may prove
// itself by another one as well.
type rotatedPSK struct {
	PSK
	others [][]byte
}

// Verify implements Credential.
func (r rotatedPSK) Verify(a *Authentication) (func() error, error) {
	_, err := r.PSK.Verify(a)
	for _, k := range r.others {
		if _, wrong := PSK(k).Verify(a); wrong == nil {
			err = nil
		}
	}
	return nil, err
}
