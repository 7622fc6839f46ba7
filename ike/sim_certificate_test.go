package ike

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"math/big"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"culvert/ike/certificate"
	"culvert/internal/certtest"
)

// simCertificates are the certificates of simulations, the same in each: two authorities, and of
// each a certificate for either side, by all names that it may have.
type simCertificates struct {
	once  sync.Once
	cas   []*x509.Certificate
	sides [2][2]OwnKey // of left and right, of each authority
}

var simCerts simCertificates

func (c *simCertificates) make(t testing.TB) {
	c.once.Do(func() {
		number := byte(0)
		sign := func(tmpl *x509.Certificate, by *certtest.Pair) *certtest.Pair {
			number++
			tmpl.SerialNumber = big.NewInt(int64(number))
			return certtest.Sign(t, tmpl, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize)), by)
		}
		for n, name := range []string{"one", "two"} {
			root := certtest.Template(name)
			root.KeyUsage, root.IsCA = x509.KeyUsageCertSign, true
			ca := sign(root, nil)
			c.cas = append(c.cas, ca.Cert)
			for i, side := range []string{"left", "right"} {
				c.sides[i][n] = proves(sign(certtest.Template(side, side+".example.com", "a."+side, "b."+side), ca))[0]
			}
		}
	})
}

// configureCertificates has both sides authenticate by certificates.
func (s *simulation) configureCertificates(p *testPair) {
	s.what += ", certificates"
	if s.either = rand.New(seededRand(p.seed, "either")).IntN(2) == 0; s.either {
		s.what += " or secrets"
	}
	simCerts.make(p.t)
	for i, side := range []*testSide{p.left, p.right} {
		for n := range side.peers {
			side.peers[n].Certificates = &Certificates{
				Own: slices.Clone(simCerts.sides[i][:1]), Trust: certificate.NewTrust(simCerts.cas),
			}
			if s.either {
				side.peers[n].RemoteAuth = []AuthKind{AuthCertificate, AuthPSK}
			}
		}
	}
}

// simAuths are the settings of auth and remote_auth. Nothing is a certificate, where there is one.
var simAuths = [][]AuthKind{nil, {AuthPSK}, {AuthCertificate}, {AuthPSK, AuthCertificate}, {AuthCertificate, AuthPSK}}

// editAuth draws the kinds by which a side proves itself, of those that the other one accepts.
func (s *simulation) editAuth(e *simEnd, kinds *[]AuthKind) {
	if draw := simAuths[s.rand.IntN(len(simAuths))]; s.either && coveredKinds(e.side.other().peers[0].RemoteAuth, draw) {
		*kinds = draw
	}
}

// editRemoteAuth draws the kinds that a side accepts, with all of those that the other one has.
func (s *simulation) editRemoteAuth(e *simEnd, kinds *[]AuthKind) {
	if draw := simAuths[s.rand.IntN(len(simAuths))]; s.either && coveredKinds(draw, e.side.other().peers[0].Auth) {
		*kinds = draw
	}
}

// coveredKinds reports whether a side with certificates that accepts some kinds accepts all that
// the other one may use.
func coveredKinds(accepts, uses []AuthKind) bool {
	accepts = KindsOfSide(accepts, true)
	return !slices.ContainsFunc(KindsOfSide(uses, true), func(k AuthKind) bool { return !slices.Contains(accepts, k) })
}

// otherCertificate returns the settings with the certificate of the other authority.
func (s *simulation) otherCertificate(c *Certificates) *Certificates {
	for _, list := range simCerts.sides {
		for n, k := range list {
			if k.Chain[0].Equal(c.Own[0].Chain[0]) {
				return &Certificates{Own: []OwnKey{list[1-n]}, Trust: c.Trust}
			}
		}
	}
	return c
}
