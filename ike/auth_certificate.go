package ike

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	"culvert/ike/certificate"
	"culvert/ike/wire"
)

// Certificates is the Credential of signatures (RFC 7296, Section 2.15; RFC 7427): of keys with
// certificates, or of raw ones that the other side knows. It may be for one of the sides alone.
// It is not changed once it is in use.
type Certificates struct {
	// Own are the keys by one of which we prove ourselves: the one that suits the peer and the time
	// best, the first of several. None: we prove ourselves otherwise.
	Own []OwnKey
	// Trust are the authorities of the peer's certificate, and RemoteKeys the keys that it may have
	// without one. Neither: the peer proves itself otherwise.
	Trust      *certificate.Trust
	RemoteKeys []crypto.PublicKey
	// Purpose is what a certificate of the peer, of those authorities, must be for.
	Purpose certificate.Purpose
	certificate.Preferences
	// Revoked, if it is not nil, returns why a chain that is trusted is not good any more: leaf
	// first, root last, with the OCSP responses that the peer sent. It may wait for the network,
	// for seconds, and is called where that holds up nothing else (Compute.Online).
	Revoked func(chain []*x509.Certificate, stapled [][]byte, now time.Time) error
	// Staple, if it is not nil, returns the OCSP response for the first certificate of a chain of
	// ours that is at hand, or nil: for peers that ask for it (RFC 4806). It does not wait.
	Staple func(chain []*x509.Certificate, now time.Time) []byte
}

// maxStapled bounds the OCSP response that is sent: IKE_AUTH must not become too long for a peer.
const maxStapled = 8 << 10

// An OwnKey is a private key with its certificate, and those that lead to an authority.
type OwnKey struct {
	Signer crypto.Signer
	Chain  []*x509.Certificate // leaf first; empty: a raw key
}

// verifies reports whether it is for the peer's side.
func (c *Certificates) verifies() bool { return c.Trust != nil || len(c.RemoteKeys) > 0 }

// Init implements Credential. Digital Signature is used where both sides announce it, whichever
// side signs (RFC 7427, Section 3). CERTREQ "can appear in the IKE_INIT_SA response and/or the
// IKE_AUTH request" (RFC 7296, Section 3.7).
func (c *Certificates) Init(initiator bool) []wire.Payload {
	ps := []wire.Payload{certificate.Announcement()}
	if !initiator {
		ps = append(ps, c.Ask()...)
	}
	return ps
}

// Ask implements Credential. The CERTREQ for certificates is the last one: there OpenIKED 7.4 takes
// its own certificate if none that it has is of an authority of ours, and it then takes none if it
// does not know the encoding that is asked for last.
func (c *Certificates) Ask() (ps []wire.Payload) {
	if c.Trust != nil && c.Revoked != nil {
		ps = append(ps, certificate.RequestOCSP())
	}
	if len(c.RemoteKeys) > 0 {
		ps = append(ps, certificate.RequestRawKey())
	}
	if c.Trust != nil {
		ps = append(ps, c.Trust.Request())
	}
	if c.verifies() {
		ps = append(ps, certificate.AnnounceMethods(c.Trust != nil, c.RemoteKeys))
	}
	return ps
}

// Slow implements Credential.
func (*Certificates) Slow() bool { return true }

// Prove implements Credential. The certificates are sent whether the peer asks for them or not: one
// that knows them may still need to be told which.
func (c *Certificates) Prove(a *Authentication) ([]wire.Payload, error) {
	peer, init, err := a.announced()
	if err != nil {
		return nil, err
	}
	wanted := certificate.ParseWanted(append(init, a.Auth...))
	methods := a.methods(init)
	key := c.choose(a, peer, wanted, methods)
	auth, err := certificate.Sign(key.Signer, a.Signed.Bytes(), peer, methods.For(c.Trust, key.Chain), c.Preferences)
	if err != nil {
		return nil, err
	}
	ps, err := key.payloads(wanted)
	return append(append(ps, c.stapled(key, wanted, a.Now)...), auth), err
}

// stapled returns the CERT payload with the OCSP response for the certificate of a key, if the peer
// wants one and there is one.
func (c *Certificates) stapled(k *OwnKey, wanted certificate.Wanted, now time.Time) []wire.Payload {
	if !wanted.OCSP || c.Staple == nil || len(k.Chain) == 0 {
		return nil
	}
	der := c.Staple(k.Chain, now)
	if len(der) == 0 || len(der) > maxStapled {
		return nil
	}
	return []wire.Payload{&wire.Cert{Encoding: wire.CertOCSPContent, Data: der}}
}

// payloads returns the CERT payloads of a key: that of the leaf is the first (RFC 7296, Section
// 3.6). A root is not sent: the peer has it if it trusts it.
func (k *OwnKey) payloads(wanted certificate.Wanted) (ps []wire.Payload, err error) {
	if len(k.Chain) == 0 && wanted.RawKey {
		der, err := x509.MarshalPKIXPublicKey(k.Signer.Public())
		return []wire.Payload{&wire.Cert{Encoding: wire.CertRawPublicKey, Data: der}}, err
	}
	for i, c := range k.Chain {
		if i == 0 || !certificate.IsRoot(c) {
			ps = append(ps, &wire.Cert{Encoding: wire.CertX509Signature, Data: c.Raw})
		}
	}
	return ps, nil
}

// choose returns the key to sign by: the first of those that meet most of, in the order of weight:
// the peer supports its algorithm, and has announced it if it did so for any; its certificate is
// valid now; it confirms the identity; it is of
// an authority that the peer asks for; it is of the kind that the peer uses itself (RFC 7427,
// Section 5).
func (c *Certificates) choose(a *Authentication, peer certificate.Hashes, wanted certificate.Wanted, methods certificate.Methods) *OwnKey {
	best, most := &c.Own[0], -1
	if len(c.Own) == 1 {
		return best
	}
	theirs := certificate.KindOf(a.Auth)
	for i := range c.Own {
		k, rank := &c.Own[i], 0
		for _, met := range []bool{
			certificate.CanSign(k.Signer.Public(), peer),
			methods.For(c.Trust, k.Chain).Accept(k.Signer.Public(), peer),
			len(k.Chain) > 0 && certificate.Valid(k.Chain[0], a.Now) == nil,
			len(k.Chain) > 0 && certificate.Match(k.Chain[0], a.ID) == nil,
			c.Trust.Names(wanted, k.Chain) || len(k.Chain) == 0 && wanted.RawKey,
			theirs != "" && certificate.KeyName(k.Signer.Public()) == theirs,
		} {
			if rank *= 2; met {
				rank++
			}
		}
		if rank > most {
			best, most = k, rank
		}
	}
	return best
}

// Accepts implements Credential.
func (c *Certificates) Accepts(auth *wire.Auth, _ []wire.Payload) error {
	if !certificate.IsSignature(auth.Method) {
		return fmt.Errorf("authenticates with %s, not with a certificate", methodText(auth.Method))
	}
	return nil
}

// Verify implements Credential. What costs least comes first. What may be revoked is looked up
// last, of a chain that is trusted and a peer that has its key: certificates are not secret, so
// whoever copies one must not have us fetch what it names.
func (c *Certificates) Verify(a *Authentication) (online func() error, err error) {
	hashes, _, err := a.announced()
	if err != nil {
		return nil, err
	}
	announced := hashes != 0
	sent, err := certificate.ParseSent(a.Auth)
	if err != nil {
		return nil, err
	}
	octets, auth := a.Signed.Bytes(), a.auth()
	if len(c.RemoteKeys) > 0 {
		err := certificate.CheckPinned(c.RemoteKeys, sent, octets, auth, announced, c.Preferences)
		if err == nil || c.Trust == nil {
			return nil, err
		}
	}
	if sent.Leaf == nil {
		return nil, sent.Missing()
	}
	if err := certificate.Match(sent.Leaf, a.ID); err != nil {
		return nil, err
	}
	if err := c.Purpose.Check(sent.Leaf); err != nil {
		return nil, err
	}
	if err := certificate.CheckAuth(sent.Leaf.PublicKey, octets, auth, announced, c.Preferences); err != nil {
		return nil, certificate.FaultOf(sent.Leaf, "with the certificate %s, %w", certificate.Name(sent.Leaf), err)
	}
	chain, err := c.Trust.Verify(sent, a.Now)
	if err != nil || c.Revoked == nil {
		return nil, err
	}
	return func() error { return c.Revoked(chain, sent.Stapled, a.Now) }, nil
}

// methods returns the authentication methods that the peer has announced to a side that proves
// itself: a responder in its message of IKE_SA_INIT, an initiator in that of IKE_AUTH.
func (a *Authentication) methods(init []wire.Payload) certificate.Methods {
	if len(a.Auth) > 0 {
		init = a.Auth
	}
	return certificate.ParseMethods(init)
}

// announced returns the hash algorithms of the peer, zero unless both sides announced theirs, and
// the payloads of the peer's message of IKE_SA_INIT.
func (a *Authentication) announced() (certificate.Hashes, []wire.Payload, error) {
	own, err := wire.Parse(a.Own)
	if err != nil {
		return 0, nil, err
	}
	peer, err := wire.Parse(a.Peer)
	if err != nil {
		return 0, nil, err
	}
	if certificate.Announced(own.Payloads) == 0 {
		return 0, peer.Payloads, nil
	}
	return certificate.Announced(peer.Payloads), peer.Payloads, nil
}
