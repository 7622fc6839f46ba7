package certificate

import (
	"crypto/sha1"
	"crypto/x509"
	"slices"

	"culvert/ike/wire"
)

// A KeyHash names a certification authority in CERTREQ: the SHA-1 hash of its Subject Public Key
// Info (RFC 7296, Section 3.7). It is a hint, on which nothing depends for its safety.
type KeyHash [sha1.Size]byte

// maxRequested bounds the authorities of a CERTREQ. A message of IKE_SA_INIT must not need IP
// fragments, and strangers cause such messages.
const maxRequested = 16

func keyHash(c *x509.Certificate) KeyHash { return sha1.Sum(c.RawSubjectPublicKeyInfo) }

// request returns the CERTREQ for certificates of authorities, of very many the first ones.
func request(cas []*x509.Certificate) *wire.CertReq {
	r := &wire.CertReq{Encoding: wire.CertX509Signature}
	for _, ca := range cas[:min(len(cas), maxRequested)] {
		h := keyHash(ca)
		r.Data = append(r.Data, h[:]...)
	}
	return r
}

// RequestRawKey returns the CERTREQ for a raw public key, in which "the Certification Authority
// field MUST be empty" (RFC 7670, Section 3).
func RequestRawKey() *wire.CertReq { return &wire.CertReq{Encoding: wire.CertRawPublicKey} }

// RequestOCSP returns the CERTREQ for an OCSP response beside the certificate. No responder is
// named: those that the CA has authorized are believed (RFC 4806, Section 3.1, case c).
func RequestOCSP() *wire.CertReq { return &wire.CertReq{Encoding: wire.CertOCSPContent} }

// Merge joins what several credentials ask for: CERTREQ payloads of the same encodings, which it
// bounds, and SUPPORTED_AUTH_METHODS. Others it returns as they are.
func Merge(ps []wire.Payload) (out []wire.Payload) {
	requests := map[wire.CertEncoding]*wire.CertReq{}
	var methods []*wire.Notify
	for _, p := range ps {
		if n, ok := p.(*wire.Notify); ok && n.Kind == wire.SupportedAuthMethods {
			methods = append(methods, n)
			continue
		}
		r, ok := p.(*wire.CertReq)
		if !ok {
			out = append(out, p)
			continue
		}
		all := requests[r.Encoding]
		if all == nil {
			all = &wire.CertReq{Encoding: r.Encoding}
			requests[r.Encoding] = all
			out = append(out, all)
		}
		for h := range slices.Chunk(r.Data, sha1.Size) {
			if len(h) == sha1.Size && len(all.Data) < maxRequested*sha1.Size && !hasHash(all.Data, KeyHash(h)) {
				all.Data = append(all.Data, h...)
			}
		}
	}
	if n := mergeMethods(methods); n != nil {
		out = append(out, n)
	}
	return out
}

func hasHash(data []byte, want KeyHash) bool {
	for h := range slices.Chunk(data, sha1.Size) {
		if len(h) == sha1.Size && KeyHash(h) == want {
			return true
		}
	}
	return false
}

// Wanted is what the CERTREQ payloads of a peer ask for.
type Wanted struct {
	RawKey bool
	OCSP   bool     // responses of OCSP beside the certificate (RFC 4806)
	hashes [][]byte // the lists of authorities
}

// ParseWanted reads the CERTREQ payloads of a peer, in however many messages they came.
func ParseWanted(ps []wire.Payload) (w Wanted) {
	for _, p := range ps {
		if r, ok := p.(*wire.CertReq); ok {
			switch r.Encoding {
			case wire.CertRawPublicKey:
				w.RawKey = true
			case wire.CertOCSPContent:
				w.OCSP = true
			case wire.CertX509Signature:
				w.hashes = append(w.hashes, r.Data)
			}
		}
	}
	return w
}

// IsRequested reports whether a peer asks for a certificate or a raw key.
func IsRequested(ps []wire.Payload) bool {
	w := ParseWanted(ps)
	return w.RawKey || len(w.hashes) > 0
}

// names reports whether one of the certificates has a key that the peer asks for.
func (w Wanted) names(certs []*x509.Certificate) bool {
	for _, c := range certs {
		h := keyHash(c)
		if slices.ContainsFunc(w.hashes, func(list []byte) bool { return hasHash(list, h) }) {
			return true
		}
	}
	return false
}
