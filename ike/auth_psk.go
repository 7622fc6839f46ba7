package ike

import (
	"errors"
	"fmt"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// PSK is the Credential of a pre-shared key (RFC 7296, Section 2.15).
type PSK []byte

// Init implements Credential.
func (PSK) Init() []wire.Payload { return nil }

// Auth implements Credential.
func (PSK) Auth() []wire.Payload { return nil }

// Prove implements Credential.
func (k PSK) Prove(o *suite.SignedOctets) (*wire.Auth, error) {
	return &wire.Auth{Method: wire.AuthSharedKey, Data: o.PSKAuth(k)}, nil
}

// Accepts implements Credential.
func (PSK) Accepts(auth *wire.Auth, _ []wire.Payload) error {
	if auth.Method != wire.AuthSharedKey {
		return fmt.Errorf("authenticates with %v, not with a pre-shared key", auth.Method)
	}
	return nil
}

// Verify implements Credential.
func (k PSK) Verify(o *suite.SignedOctets, auth *wire.Auth, _ []wire.Payload) error {
	if !o.VerifyPSKAuth(auth.Data, k) {
		return errors.New("the pre-shared keys differ")
	}
	return nil
}

// Slow implements Credential.
func (PSK) Slow() bool { return false }

// rotatedPSK is the Credential of a pre-shared key that is being replaced: the peer may prove
// itself by another one as well.
type rotatedPSK struct {
	PSK
	others [][]byte
}

// Verify implements Credential.
func (r rotatedPSK) Verify(o *suite.SignedOctets, auth *wire.Auth, ps []wire.Payload) error {
	err := r.PSK.Verify(o, auth, ps)
	for _, k := range r.others {
		if PSK(k).Verify(o, auth, ps) == nil {
			err = nil
		}
	}
	return err
}
