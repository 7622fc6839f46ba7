package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"slices"

	"culvert/ike/wire"
)

// SUPPORTED_AUTH_METHODS (RFC 9593, Section 3.2) lists what its sender accepts as AUTH of the other
// side. An announcement of it is:
//
//	length       1 octet, of all of it
//	auth method  1 octet
//	cert link    1 octet, unless the method has no public keys: 0, or N for certificates of the
//	             N-th authority in the CERTREQ payloads of the same message
//	identifier   the AlgorithmIdentifier in DER, of Digital Signature
//
// The responder's is in its message of IKE_SA_INIT, the initiator's in that of IKE_AUTH. It is
// advice: what it does not list may be accepted as well.

// announceable is what we may announce of Digital Signature, in the order of preference: all that
// checkDigital accepts.
var announceable = []algorithm{
	{eddsa, Identity}, {dsaOnEC, SHA256}, {dsaOnEC, SHA384}, {dsaOnEC, SHA512},
	{pss, SHA256}, {pss, SHA384}, {pss, SHA512}, {pkcs1, SHA256}, {pkcs1, SHA384}, {pkcs1, SHA512},
}

// linked is the length of an announcement with a cert link and nothing behind it.
const linked = 3

var announcedPSK = []byte{2, byte(wire.AuthSharedKey)}

// announced returns the announcement of an algorithm.
func (a algorithm) announced() []byte {
	id := a.identifier()
	return append([]byte{byte(linked + len(id)), byte(wire.AuthDigitalSignature), 0}, id...)
}

// AnnouncePSK returns the SUPPORTED_AUTH_METHODS of a side that verifies a pre-shared key.
func AnnouncePSK() *wire.Notify {
	return &wire.Notify{Kind: wire.SupportedAuthMethods, Data: announcedPSK}
}

// AnnounceMethods returns the SUPPORTED_AUTH_METHODS of a side that verifies signatures: of
// certificates, for which an authority chooses the kind of key, or of some keys alone.
func AnnounceMethods(certificates bool, keys []crypto.PublicKey) *wire.Notify {
	n := &wire.Notify{Kind: wire.SupportedAuthMethods}
	for _, a := range announceable {
		if certificates || slices.ContainsFunc(keys, a.fits) {
			n.Data = append(n.Data, a.announced()...)
		}
	}
	return n
}

// fits reports whether a key can sign by the algorithm.
func (a algorithm) fits(key crypto.PublicKey) bool {
	switch key.(type) {
	case *rsa.PublicKey:
		return a.kind == pss || a.kind == pkcs1
	case *ecdsa.PublicKey:
		return a.kind == dsaOnEC
	case ed25519.PublicKey:
		return a.kind == eddsa
	}
	return false
}

// mergeMethods joins several SUPPORTED_AUTH_METHODS of ours to one; nil if they hold nothing.
func mergeMethods(list []*wire.Notify) *wire.Notify {
	seen := map[string]bool{}
	for _, n := range list {
		for one, rest := next(n.Data); one != nil; one, rest = next(rest) {
			seen[string(one)] = true
		}
	}
	out := &wire.Notify{Kind: wire.SupportedAuthMethods}
	for _, a := range announceable {
		if one := a.announced(); seen[string(one)] {
			out.Data = append(out.Data, one...)
		}
	}
	if seen[string(announcedPSK)] {
		out.Data = append(out.Data, announcedPSK...)
	}
	if len(out.Data) == 0 {
		return nil
	}
	return out
}

// LeavesChoice reports whether payloads of ours announce other methods than a pre-shared key.
func LeavesChoice(ps []wire.Payload) bool {
	n, ok := wire.FindNotify(ps, wire.SupportedAuthMethods)
	return ok && len(n.Data) > len(announcedPSK)
}

// WithoutMethods returns the payloads without SUPPORTED_AUTH_METHODS.
func WithoutMethods(ps []wire.Payload) (out []wire.Payload) {
	for _, p := range ps {
		if n, ok := p.(*wire.Notify); !ok || n.Kind != wire.SupportedAuthMethods {
			out = append(out, p)
		}
	}
	return out
}

// next returns the first announcement, nil if there is none or it is malformed, and what is behind
// it.
func next(data []byte) (one, rest []byte) {
	if len(data) < 2 || data[0] < 2 || int(data[0]) > len(data) {
		return nil, data
	}
	return data[:data[0]], data[data[0]:]
}

// maxMethods bounds the announcements of a peer that are read.
const maxMethods = 64

// Methods are the authentication methods that a peer has announced. The zero value: none were.
type Methods struct{ list []method }

// method is one announcement.
type method struct {
	method wire.AuthMethod
	algorithm
	ca []byte // the KeyHash of the only authority that it is for; nil: it is for all
}

// ParseMethods returns the methods that a message of a peer announces. What is not known is
// skipped. A list that is malformed counts as none: it is advice.
func ParseMethods(ps []wire.Payload) (m Methods) {
	n, ok := wire.FindNotify(ps, wire.SupportedAuthMethods)
	if !ok {
		return Methods{}
	}
	cas, rest := authorities(ps), n.Data
	for count := 0; len(rest) > 0 && count < maxMethods; count++ {
		var one []byte
		if one, rest = next(rest); one == nil {
			return Methods{}
		}
		if got, ok := parseMethod(one, cas); ok {
			m.list = append(m.list, got)
		}
	}
	return m
}

// parseMethod parses an announcement. It reports false for what cannot be ours to use.
func parseMethod(one []byte, cas [][]byte) (m method, ok bool) {
	m.method = wire.AuthMethod(one[1])
	if len(one) < linked {
		return m, m.method == wire.AuthSharedKey
	}
	if link := int(one[2]); link > 0 && len(cas) > 0 {
		if link > len(cas) {
			return m, false
		}
		m.ca = cas[link-1]
	}
	if len(one) == linked {
		return m, IsSignature(m.method) && m.method != wire.AuthDigitalSignature
	}
	var err error
	m.algorithm, err = parseIdentifier(one[linked:])
	return m, err == nil && m.method == wire.AuthDigitalSignature
}

// authorities returns the authorities of all CERTREQ payloads of a message, to which a cert link
// counts.
func authorities(ps []wire.Payload) (cas [][]byte) {
	for _, p := range ps {
		if r, ok := p.(*wire.CertReq); ok && slices.Contains([]wire.CertEncoding{wire.CertX509Signature, wire.CertHashURLX509, wire.CertHashURLBundle}, r.Encoding) {
			for h := range slices.Chunk(r.Data, sha1.Size) {
				cas = append(cas, h)
			}
		}
	}
	return cas
}

// PSK reports whether a pre-shared key is among the methods.
func (m Methods) PSK() bool {
	return slices.ContainsFunc(m.list, func(o method) bool { return o.method == wire.AuthSharedKey })
}

// Announced reports whether any methods were announced.
func (m Methods) Announced() bool { return len(m.list) > 0 }

// For returns the methods for certificates of a chain, or for a raw key if that is empty. The
// authorities above the chain are looked for in the trust.
func (m Methods) For(t *Trust, chain []*x509.Certificate) (out Methods) {
	for _, o := range m.list {
		if o.ca == nil || t.Names(Wanted{hashes: [][]byte{o.ca}}, chain) {
			out.list = append(out.list, o)
		}
	}
	return out
}

// digital reports whether an algorithm of Digital Signature is among the methods.
func (m Methods) digital(a algorithm) bool {
	return slices.ContainsFunc(m.list, func(o method) bool {
		return o.method == wire.AuthDigitalSignature && o.algorithm == a
	})
}

// Accept reports whether a key has an algorithm that is among the methods, and among the hash
// algorithms that the peer has announced (see Sign).
func (m Methods) Accept(key crypto.PublicKey, peer Hashes) bool {
	if peer == 0 {
		old := oldMethod(key)
		return slices.ContainsFunc(m.list, func(o method) bool { return o.method == old && old != 0 })
	}
	list, _ := algorithms(key, peer, Preferences{})
	return slices.ContainsFunc(list, m.digital)
}
