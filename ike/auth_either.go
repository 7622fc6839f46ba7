package ike

import (
	"fmt"
	"slices"

	"culvert/ike/certificate"
	"culvert/ike/wire"
)

// An AuthKind is a kind of proof of identity, of a side that may have several.
type AuthKind uint8

// Values of AuthKind.
const (
	AuthPSK AuthKind = iota + 1
	AuthCertificate
)

// credentials returns the credential by which we prove ourselves to the peer, and that by which it
// does; nil for a side without one.
func (p *Peer) credentials() (own, peers Credential) {
	c := p.Certificates
	return p.oneOf(p.Auth, c != nil && len(c.Own) > 0), p.oneOf(p.RemoteAuth, c != nil && c.verifies())
}

// KindsOfSide returns the kinds of proof of a side, in the order of preference: those of Peer.Auth
// or Peer.RemoteAuth, which are configured, or else the default. certified tells whether the peer
// has certificates or keys for the side.
func KindsOfSide(configured []AuthKind, certified bool) []AuthKind {
	switch {
	case len(configured) > 0:
		return configured
	case certified:
		return []AuthKind{AuthCertificate}
	}
	return []AuthKind{AuthPSK}
}

// oneOf returns the credential of a side, of the configured kinds (KindsOfSide).
func (p *Peer) oneOf(configured []AuthKind, certified bool) Credential {
	var list either
	for _, k := range KindsOfSide(configured, certified) {
		switch {
		case k == AuthCertificate && certified:
			list = append(list, p.Certificates)
		case k == AuthPSK && len(p.PSK) > 0 && len(p.OtherPSKs) > 0:
			list = append(list, rotatedPSK{PSK(p.PSK), p.OtherPSKs})
		case k == AuthPSK && len(p.PSK) > 0:
			list = append(list, PSK(p.PSK))
		}
	}
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return list
}

// isPSK reports whether a credential is a pre-shared key.
func isPSK(c Credential) bool {
	switch c.(type) {
	case PSK, rotatedPSK:
		return true
	}
	return false
}

// either is the Credential of one side that has several methods, in the order of preference. The
// peer may use any of them, and is not told which of them failed, nor whether others are there.
type either []Credential

// Init implements Credential.
func (e either) Init(initiator bool) (ps []wire.Payload) {
	for _, c := range e {
		ps = append(ps, c.Init(initiator)...)
	}
	return ps
}

// Ask implements Credential.
func (e either) Ask() (ps []wire.Payload) {
	for _, c := range e {
		if ps = append(ps, c.Ask()...); isPSK(c) {
			ps = append(ps, certificate.AnnouncePSK())
		}
	}
	return certificate.Merge(ps)
}

// Prove implements Credential.
func (e either) Prove(a *Authentication) ([]wire.Payload, error) {
	c, err := e.choose(a)
	if err != nil {
		return nil, err
	}
	return c.Prove(a)
}

// choose returns the first method that the peer has announced, or else the first one. A peer that
// has announced nothing, proves itself by a secret and asks for no certificate expects a secret.
func (e either) choose(a *Authentication) (Credential, error) {
	hashes, init, err := a.announced()
	if err != nil {
		return nil, err
	}
	methods, auth := a.methods(init), a.auth()
	secret := !methods.Announced() && auth != nil && auth.Method == wire.AuthSharedKey && !certificate.IsRequested(append(init, a.Auth...))
	i := slices.IndexFunc(e, func(c Credential) bool {
		if own, ok := c.(*Certificates); ok {
			return !secret && own.suits(methods, hashes)
		}
		return secret || methods.PSK()
	})
	return e[max(i, 0)], nil
}

// suits reports whether a key of ours can sign by one of the methods.
func (c *Certificates) suits(m certificate.Methods, peer certificate.Hashes) bool {
	return slices.ContainsFunc(c.Own, func(k OwnKey) bool { return m.For(c.Trust, k.Chain).Accept(k.Signer.Public(), peer) })
}

// of returns the method that an AUTH payload is of, or nil.
func (e either) of(auth *wire.Auth, ps []wire.Payload) Credential {
	for _, c := range e {
		if c.Accepts(auth, ps) == nil {
			return c
		}
	}
	return nil
}

// Accepts implements Credential.
func (e either) Accepts(auth *wire.Auth, ps []wire.Payload) error {
	if e.of(auth, ps) == nil {
		return fmt.Errorf("authenticates with %s, neither with a certificate nor with a pre-shared key", methodText(auth.Method))
	}
	return nil
}

// Verify implements Credential.
func (e either) Verify(a *Authentication) (func() error, error) {
	c := e.of(a.auth(), a.Auth)
	if c == nil {
		return nil, e.Accepts(a.auth(), a.Auth)
	}
	return c.Verify(a)
}

// Slow implements Credential.
func (e either) Slow() bool { return slices.ContainsFunc(e, Credential.Slow) }
