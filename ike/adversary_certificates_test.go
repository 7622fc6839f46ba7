package ike

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"
	"time"

	"culvert/ike/adversary"
	"culvert/ike/certificate"
	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// certificatesFromHell are proofs that must not be taken for one of left.
var certificatesFromHell = map[string]hellish{
	"none": func(h *hell, octets []byte) []wire.Payload { return []wire.Payload{h.sign(h.key, octets)} },
	"an empty one": func(h *hell, octets []byte) []wire.Payload {
		return append(x509Certs(nil), h.sign(h.key, octets))
	},
	"garbage": func(h *hell, octets []byte) []wire.Payload {
		return append(x509Certs(bytes.Repeat([]byte{0x30, 0x80}, 500)), h.sign(h.key, octets))
	},
	"60000 octets": func(h *hell, octets []byte) []wire.Payload {
		return append(x509Certs(slices.Concat([]byte{0x30, 0x83, 0, 0xea, 0x60}, make([]byte, 60000))), h.sign(h.key, octets))
	},
	"cut": func(h *hell, octets []byte) []wire.Payload {
		return append(x509Certs(h.left.Cert.Raw[:len(h.left.Cert.Raw)-1]), h.sign(h.left.Key, octets))
	},
	"with more behind it": func(h *hell, octets []byte) []wire.Payload {
		return append(x509Certs(h.chainOf(append(bytes.Clone(h.left.Cert.Raw), 0))...), h.sign(h.left.Key, octets))
	},
	"1000 of them": func(h *hell, octets []byte) []wire.Payload {
		return append(x509Certs(slices.Repeat([][]byte{[]byte("0\x80")}, 1000)...), h.sign(h.key, octets))
	},
	"of every other encoding": func(h *hell, octets []byte) (ps []wire.Payload) {
		for e := range 256 {
			if wire.CertEncoding(e) != wire.CertX509Signature {
				ps = append(ps, &wire.Cert{Encoding: wire.CertEncoding(e), Data: h.left.Cert.Raw})
			}
		}
		return append(ps, h.sign(h.left.Key, octets))
	},
	"a URL": func(h *hell, octets []byte) []wire.Payload {
		url := append(make([]byte, 20), "http://192.0.2.66/$(reboot)"...)
		return []wire.Payload{&wire.Cert{Encoding: wire.CertHashURLX509, Data: url}, h.sign(h.left.Key, octets)}
	},
	"a raw key": func(h *hell, octets []byte) []wire.Payload {
		return []wire.Payload{&wire.Cert{Encoding: wire.CertRawPublicKey, Data: certtest.SPKI(h.t, h.left.Key.Public())}, h.sign(h.left.Key, octets)}
	},
	"signed by itself": chained(func(h *hell) (crypto.Signer, [][]byte) {
		own := certtest.Sign(h.t, certtest.Template("left", "left.example.com"), h.key, nil)
		return h.key, raws(own.Cert)
	}),
	"of an authority of the same name": chained(func(h *hell) (crypto.Signer, [][]byte) {
		own := certtest.CA(h.t, "lower", "p256", nil).Issue(h.t, "left", "p256", "left.example.com")
		return own.Key, append(raws(own.Cert), raws(h.lower.Chain()...)...)
	}),
	"issued by a certificate that is no CA": chained(func(h *hell) (crypto.Signer, [][]byte) {
		own := h.left.Issue(h.t, "left", "p256", "left.example.com")
		return own.Key, raws(own.Chain()...)
	}),
	"in a circle": chained(func(h *hell) (crypto.Signer, [][]byte) {
		a, b := certtest.CA(h.t, "a", "p256", nil), certtest.CA(h.t, "b", "p256", nil)
		authority := func(p, by *certtest.Pair) *certtest.Pair {
			tmpl := certtest.Template(p.Cert.Subject.CommonName)
			tmpl.KeyUsage, tmpl.IsCA = x509.KeyUsageCertSign, true
			return certtest.Sign(h.t, tmpl, p.Key, by)
		}
		ofA, ofB := authority(a, b), authority(b, a)
		leaf := ofB.Issue(h.t, "left", "p256", "left.example.com")
		return leaf.Key, raws(leaf.Cert, ofA.Cert, ofB.Cert)
	}),
	"for another name": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(*x509.Certificate) {}, func(c *x509.Certificate) { c.DNSNames = []string{"other.example.com"} })
	}),
	"for the name with NUL in it": chained(func(h *hell) (crypto.Signer, [][]byte) {
		name := "\x82\x1aleft.example.com\x00.evil.net"
		san := append([]byte{0x30, byte(len(name))}, name...)
		return h.below(func(*x509.Certificate) {}, func(c *x509.Certificate) {
			c.DNSNames = nil
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}}
		})
	}),
	"for a wildcard": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(*x509.Certificate) {}, func(c *x509.Certificate) { c.DNSNames = []string{"*.example.com", "*"} })
	}),
	"for the common name alone": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(*x509.Certificate) {}, func(c *x509.Certificate) {
			c.DNSNames, c.Subject = nil, pkix.Name{CommonName: "left.example.com"}
		})
	}),
	"expired": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(*x509.Certificate) {}, certtest.Validity(certtest.Start, epoch.Add(-time.Hour)))
	}),
	"not valid yet": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(*x509.Certificate) {}, certtest.Validity(epoch.Add(time.Hour), epoch.Add(2*time.Hour)))
	}),
	"of an expired authority": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(certtest.Validity(certtest.Start, epoch.Add(-time.Hour)), nil)
	}),
	"not for signatures": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(*x509.Certificate) {}, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	}),
	"of an authority that may not sign": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, nil)
	}),
	"excluded, but for the case of letters": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"EXAMPLE.com"} }, nil)
	}),
	"outside of what is permitted": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.org"} }, nil)
	}),
	"with an unknown critical extension": chained(func(h *hell) (crypto.Signer, [][]byte) {
		return h.below(func(*x509.Certificate) {}, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		})
	}),
	"below a path that is too long": chained(func(h *hell) (crypto.Signer, [][]byte) {
		short := certtest.CA(h.t, "short", "p256", h.root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
		leaf := certtest.CA(h.t, "below", "p256", short).Issue(h.t, "left", "p256", "left.example.com")
		return leaf.Key, raws(leaf.Chain()...)
	}),
	"the peer's own": chained(func(h *hell) (crypto.Signer, [][]byte) { return h.key, raws(h.right.Chain()...) }),

	"RSA of 16384 bits":             keyed(spkiOfRSA(16384, 65537, false), idRSA256, make([]byte, 2048)),
	"RSA of 512 bits":               keyed(spkiOfRSA(512, 65537, false), idRSA256, make([]byte, 64)),
	"RSA with the exponent 1":       keyed(spkiOfRSA(2048, 1, false), idRSA256, make([]byte, 256)),
	"RSA with the exponent 4":       keyed(spkiOfRSA(2048, 4, false), idRSA256, make([]byte, 256)),
	"RSA with an even modulus":      keyed(spkiOfRSA(2048, 65537, true), idRSA256, make([]byte, 256)),
	"PSS with a huge salt":          keyed(spkiOfRSA(2048, 65537, false), idHugeSalt, make([]byte, 256)),
	"PSS with empty parameters":     keyed(spkiOfRSA(2048, 65537, false), idPSS, make([]byte, 256)),
	"Ed25519 of the neutral point":  keyed(spkiOfEd25519(1), idEd25519, identitySig),
	"Ed25519 of order 4":            keyed(spkiOfEd25519(0), idEd25519, identitySig),
	"a point that is not on P-256":  keyed(offCurve, idECDSA256, make([]byte, 70)),
	"a key of an unknown algorithm": keyed(unknownKey, idECDSA256, make([]byte, 70)),
	"no key":                        keyed(func(*hell) []byte { return []byte{0x30, 0} }, idECDSA256, make([]byte, 70)),

	"an empty AUTH": authed(func(*hell, []byte) *wire.Auth { return &wire.Auth{Method: wire.AuthDigitalSignature} }),
	"an identifier cut": authed(func(*hell, []byte) *wire.Auth {
		return &wire.Auth{Method: wire.AuthDigitalSignature, Data: []byte{255, 0x30}}
	}),
	"no signature":      authed(func(*hell, []byte) *wire.Auth { return digitalAuth(idECDSA256, nil) }),
	"r and s of 0":      authed(func(*hell, []byte) *wire.Auth { return digitalAuth(idECDSA256, []byte{0x30, 6, 2, 1, 0, 2, 1, 0}) }),
	"ECDSA as RSA":      authed(func(*hell, []byte) *wire.Auth { return digitalAuth(idRSA256, make([]byte, 256)) }),
	"ECDSA as Ed25519":  authed(func(*hell, []byte) *wire.Auth { return digitalAuth(idEd25519, identitySig) }),
	"of another key":    authed(func(h *hell, octets []byte) *wire.Auth { return h.sign(h.key, octets) }),
	"of other octets":   authed(func(h *hell, octets []byte) *wire.Auth { return h.sign(h.left.Key, octets[1:]) }),
	"of another IKE SA": authed(func(h *hell, _ []byte) *wire.Auth { return h.stolen }),
	"as a PSK":          authed(func(*hell, []byte) *wire.Auth { return &wire.Auth{Method: wire.AuthSharedKey, Data: make([]byte, 32)} }),
	"as NULL":           authed(func(*hell, []byte) *wire.Auth { return &wire.Auth{Method: wire.AuthNull, Data: make([]byte, 32)} }),
	"as old ECDSA":      authed(func(*hell, []byte) *wire.Auth { return &wire.Auth{Method: wire.AuthECDSAP256, Data: make([]byte, 64)} }),
	"longer by one": authed(func(h *hell, octets []byte) *wire.Auth {
		auth := h.sign(h.left.Key, octets)
		auth.Data = append(auth.Data, 0)
		return auth
	}),
}

// offCurve is the P-256 key of left with another y.
func offCurve(h *hell) []byte {
	der := certtest.SPKI(h.t, h.left.Key.Public())
	der[len(der)-1] ^= 1
	return der
}

// unknownKey is a key of an algorithm that nobody knows.
func unknownKey(h *hell) []byte {
	der, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999}}, asn1.BitString{Bytes: make([]byte, 32), BitLength: 256}})
	h.must(nil, err)
	return der
}

// newHellDuel is a duel with an engine that wants a certificate of the root. proof makes what the
// adversary sends.
func newHellDuel(h *hell, seed uint64, proof hellish) *duel {
	return newDuel(h.t, func(p *testPair, c *adversary.Config) {
		c.Rand = seededRand(seed, "hell") // so that no two have the same octets to sign
		p.give(&Certificates{Own: proves(h.left), Trust: trusts(h.root)}, &Certificates{Own: proves(h.right), Trust: trusts(h.root)})
		c.Extra = []wire.Payload{certificate.Announcement()}
		c.Prove = func(octets []byte) []wire.Payload { return proof(h, octets) }
	})
}

// TestCertificatesFromHell has the adversary prove itself by everything but a proof, in both
// roles: it does not get in, and left does afterwards.
func TestCertificatesFromHell(t *testing.T) {
	h := &hell{certified: newCertified(t, "p256"), t: t, key: certtest.Key(t, "p256").(*ecdsa.PrivateKey)}
	genuine := authed(func(h *hell, octets []byte) *wire.Auth {
		auth := h.sign(h.left.Key, octets)
		h.stolen = auth
		return auth
	})
	for _, stage := range []adversary.Stage{adversary.AuthRequest, adversary.AuthResponse} {
		d := newHellDuel(h, 1, genuine)
		d.play(stage)
		if got, want := d.outcome(), honestOutcomes[stage]; got != want {
			t.Errorf("%v with the genuine certificate: the outcome is %q, want %q\n%s", stage, got, want, d.transcript(*simLines))
		}
		d.wantFinished("the genuine certificate")
		for name, proof := range certificatesFromHell {
			d := newHellDuel(h, 2, proof)
			d.honest = false
			d.play(stage)
			d.wantFinished(name)
		}
	}
}
