package ike

import (
	"fmt"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// A Credential proves to the peer who this side is, and verifies who the peer is, in IKE_AUTH (RFC
// 7296, Section 2.15). A pre-shared key is the first one (PSK).
//
// One value serves all IKE SAs of a peer and does not change. Init, Auth, Accepts and Slow are
// called in Handle and must be quick. Prove and Verify are as well, unless Slow reports true: then
// they run elsewhere, as by Compute, and several at a time.
type Credential interface {
	// Init returns the payloads that a side with the credential adds to its message of IKE_SA_INIT.
	Init() []wire.Payload
	// Auth returns the payloads that a side with the credential adds to its message of IKE_AUTH,
	// beside AUTH.
	Auth() []wire.Payload
	// Prove returns the AUTH payload of this side over its signed octets.
	Prove(o *suite.SignedOctets) (*wire.Auth, error)
	// Accepts returns nil if Verify may succeed, by what IKE_AUTH carries alone. The error
	// continues a sentence that begins with the name of the peer.
	Accepts(auth *wire.Auth, ps []wire.Payload) error
	// Verify returns nil if the peer's AUTH payload is right for its signed octets, and otherwise
	// why it is not.
	Verify(o *suite.SignedOctets, auth *wire.Auth, ps []wire.Payload) error
	// Slow reports whether Prove and Verify take longer than an engine may wait.
	Slow() bool
}

// credential returns the peer's credential. It is an error if the configuration has none.
func (p *profile) credential() (Credential, error) {
	switch {
	case p.cfg.Credential != nil:
		return p.cfg.Credential, nil
	case len(p.cfg.PSK) > 0:
		if len(p.cfg.OtherPSKs) > 0 {
			return rotatedPSK{PSK(p.cfg.PSK), p.cfg.OtherPSKs}, nil
		}
		return PSK(p.cfg.PSK), nil
	}
	return nil, fmt.Errorf("peer %q has no pre-shared key", p.cfg.Name)
}

// announceCredential returns the payloads of the peer's credential in IKE_SA_INIT.
func (p *profile) announceCredential() []wire.Payload {
	if c, err := p.credential(); err == nil {
		return c.Init()
	}
	return nil
}

// proof is the result of a Prove.
type proof struct {
	auth *wire.Auth
	err  error
}

// prove has c make this side's AUTH payload. then is called with it, at once or by a later Handle.
func (s *ikeSA) prove(c Credential, id *wire.ID, then func(proof)) {
	o := s.signed(s.initiator, id)
	s.carryOut(c.Slow(), func() any {
		auth, err := c.Prove(o)
		return proof{auth, err}
	}, func(v any) {
		p, ok := v.(proof)
		if !ok {
			p.err = errComputation
		}
		then(p)
	})
}

// verify has c check the AUTH payload of the other side. then is called with the result, at once or
// by a later Handle. The payloads must not be changed until then.
func (s *ikeSA) verify(c Credential, id *wire.ID, auth *wire.Auth, ps []wire.Payload, then func(error)) {
	o := s.signed(!s.initiator, id)
	s.carryOut(c.Slow(), func() any { return verdict{c.Verify(o, auth, ps)} }, func(v any) {
		got, ok := v.(verdict)
		if !ok {
			got.err = errComputation
		}
		then(got.err)
	})
}

// verdict is the result of a Verify.
type verdict struct{ err error }

// carryOut runs run at once or, if it is slow, by Compute; then is called with its value, unless
// the IKE SA has ended or no longer waits.
func (s *ikeSA) carryOut(slow bool, run func() any, then func(any)) {
	if !slow {
		then(run())
		return
	}
	s.e.computeFor(s, run, then)
}

// signed returns what one side's AUTH covers: its own first message, the other side's nonce and its
// own identity (RFC 7296, Section 2.15).
func (s *ikeSA) signed(initiator bool, id *wire.ID) *suite.SignedOctets {
	prf := s.keys.suite.Prf()
	if initiator {
		return &suite.SignedOctets{
			PRF: prf, FirstMessage: s.setup.request, PeerNonce: s.setup.nonces.Nr, MACedID: suite.MACedID(prf, s.keys.keys.Pi, id),
		}
	}
	return &suite.SignedOctets{
		PRF: prf, FirstMessage: s.setup.response, PeerNonce: s.setup.nonces.Ni, MACedID: suite.MACedID(prf, s.keys.keys.Pr, id),
	}
}
