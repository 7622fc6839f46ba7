package certificate

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/certtest"
)

var now = certtest.Start.AddDate(5, 0, 0)

func mustParse(t *testing.T, certs ...*x509.Certificate) *Sent {
	t.Helper()
	s, err := ParseSent(certPayloads(certs...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func subjects(list []*x509.Certificate) (names []string) {
	for _, c := range list {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

// Chains of every kind of key verify, with the intermediates in any order, and with others among
// them.
func TestVerify(t *testing.T) {
	for _, kind := range []string{"rsa2048", "p256", "p384", "p521", "ed25519"} {
		root := certtest.CA(t, "root", kind, nil)
		upper := certtest.CA(t, "upper", kind, root)
		lower := certtest.CA(t, "lower", kind, upper)
		leaf := lower.Issue(t, "leaf", kind)
		stranger := certtest.CA(t, "stranger", "ed25519", nil)
		for name, s := range map[string]*Sent{
			"in order":     mustParse(t, leaf.Cert, lower.Cert, upper.Cert),
			"in disorder":  mustParse(t, leaf.Cert, upper.Cert, stranger.Cert, lower.Cert),
			"with the top": mustParse(t, leaf.Cert, root.Cert, lower.Cert, upper.Cert),
		} {
			chain, err := NewTrust([]*x509.Certificate{stranger.Cert, root.Cert}).Verify(s, now)
			if got := strings.Join(subjects(chain), " "); err != nil || got != "leaf lower upper root" {
				t.Errorf("%s, %s: %s, %v", kind, name, got, err)
			}
		}
		// An authority that is trusted need not be the top.
		chain, err := NewTrust([]*x509.Certificate{lower.Cert}).Verify(mustParse(t, leaf.Cert), now)
		if len(chain) != 2 || err != nil {
			t.Errorf("%s: %v, %v", kind, subjects(chain), err)
		}
	}
	self := certtest.Sign(t, certtest.Template("self"), certtest.Key(t, "p256"), nil)
	chain, err := NewTrust([]*x509.Certificate{self.Cert}).Verify(mustParse(t, self.Cert), now)
	if len(chain) != 1 || err != nil {
		t.Errorf("a certificate that is trusted as it is: %v, %v", subjects(chain), err)
	}
}

// What is refused, and what the operator reads about it.
func TestVerifyRefuses(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	same := certtest.CA(t, "root", "p256", nil) // another key under the same name
	middle := certtest.CA(t, "middle", "p256", root)
	leaf := middle.Issue(t, "leaf", "p256")
	direct := func(edit func(*x509.Certificate)) *x509.Certificate {
		c := certtest.Template("leaf")
		edit(c)
		return certtest.Sign(t, c, leaf.Key, root).Cert
	}
	notCA := root.Issue(t, "not an authority", "p256")
	short := certtest.CA(t, "short", "p256", root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	old := certtest.CA(t, "old", "p256", root, certtest.Validity(certtest.Start, certtest.Start.AddDate(1, 0, 0)))
	named := certtest.CA(t, "named", "p256", root, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} })
	barred := certtest.CA(t, "barred", "p256", root, func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"Example.COM"} })
	ranged := certtest.CA(t, "ranged", "p256", root, func(c *x509.Certificate) {
		c.PermittedIPRanges = []*net.IPNet{{IP: net.IP{192, 0, 2, 0}, Mask: net.CIDRMask(24, 32)}}
	})
	mailed := certtest.CA(t, "mailed", "p256", root, func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"example.com"} })
	noSign := certtest.CA(t, "no signer", "p256", root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	forged := *leaf.Cert
	forged.Raw = append([]byte(nil), leaf.Cert.Raw...)
	forged.Raw[len(forged.Raw)-1] ^= 1
	for name, tt := range map[string]struct {
		sent []*x509.Certificate
		want string
	}{
		"none":                  {nil, "it sends no certificate"},
		"no intermediate":       {[]*x509.Certificate{leaf.Cert}, "its certificate O=Example, CN=leaf is not of an authority in ca: the issuer of O=Example, CN=leaf, O=Example, CN=middle, is neither in ca nor among the 0 intermediate certificates that it sent"},
		"another root":          {[]*x509.Certificate{same.Issue(t, "x", "p256").Cert}, "names O=Example, CN=root as its issuer, whose key did not sign it"},
		"another top":           {[]*x509.Certificate{certtest.CA(t, "other", "p256", nil).Issue(t, "x", "p256").Cert}, "the issuer of O=Example, CN=x, O=Example, CN=other, is neither in ca"},
		"self-signed":           {[]*x509.Certificate{certtest.Sign(t, certtest.Template("self"), leaf.Key, nil).Cert}, "it ends at O=Example, CN=self, which is not in ca"},
		"expired":               {[]*x509.Certificate{direct(certtest.Validity(certtest.Start, now.Add(-time.Second)))}, "the certificate O=Example, CN=leaf expired at 2024-12-31T23:59:59Z, and the clock of this host shows 2025-01-01T00:00:00Z"},
		"not yet valid":         {[]*x509.Certificate{direct(certtest.Validity(now.Add(time.Hour), now.Add(2*time.Hour)))}, "the certificate O=Example, CN=leaf is not valid before 2025-01-01T01:00:00Z, and the clock"},
		"expired intermediate":  {[]*x509.Certificate{old.Issue(t, "x", "p256").Cert, old.Cert}, "in the chain of its certificate O=Example, CN=x, the certificate O=Example, CN=old expired at 2021-01-01T00:00:00Z"},
		"key usage":             {[]*x509.Certificate{direct(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })}, "is not for signatures"},
		"issued by a leaf":      {[]*x509.Certificate{notCA.Issue(t, "x", "p256").Cert, notCA.Cert}, "CN=x"},
		"path length":           {[]*x509.Certificate{certtest.CA(t, "below", "p256", short).Issue(t, "x", "p256").Cert, short.Cert}, "neither in ca"},
		"an authority below":    {[]*x509.Certificate{certtest.CA(t, "below", "p256", short).Cert, short.Cert}, "is not for signatures"},
		"no signer":             {[]*x509.Certificate{noSign.Issue(t, "x", "p256").Cert, noSign.Cert}, "CN=x"},
		"outside of the names":  {[]*x509.Certificate{named.Issue(t, "x", "p256", "left.example.org").Cert, named.Cert}, "does not hold in the chain"},
		"an empty name":         {[]*x509.Certificate{certtest.Sign(t, emptyName(), leaf.Key, named).Cert, named.Cert}, "does not hold in the chain"},
		"an excluded name":      {[]*x509.Certificate{barred.Issue(t, "x", "p256", "LEFT.eXample.com").Cert, barred.Cert}, "does not hold in the chain"},
		"outside of the range":  {[]*x509.Certificate{ranged.Issue(t, "x", "p256", "198.51.100.1").Cert, ranged.Cert}, "does not hold in the chain"},
		"outside of the domain": {[]*x509.Certificate{mailed.Issue(t, "x", "p256", "user@example.org").Cert, mailed.Cert}, "does not hold in the chain"},
		"forged":                {[]*x509.Certificate{&forged, middle.Cert}, "whose key did not sign it"},
	} {
		chain, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, tt.sent...), now)
		if err == nil || !strings.Contains(err.Error(), tt.want) || chain != nil {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	deep := certtest.CA(t, "below", "p256", short)
	for name, sent := range map[string][]*x509.Certificate{
		"within the names":  {named.Issue(t, "x", "p256", "left.example.com").Cert, named.Cert},
		"within the range":  {ranged.Issue(t, "x", "p256", "192.0.2.7").Cert, ranged.Cert},
		"within the domain": {mailed.Issue(t, "x", "p256", "user@example.com").Cert, mailed.Cert},
		"non-repudiation":   {direct(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment })},
		"no key usage":      {direct(func(c *x509.Certificate) { c.KeyUsage = 0 })},
		"another EKU":       {direct(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })},
	} {
		if _, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, sent...), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, deep.Issue(t, "x", "p256").Cert, deep.Cert, short.Cert), now); err == nil {
		t.Error("a path that is too long holds")
	}
}

// An expired root says so.
func TestVerifyWithExpiredRoot(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil, certtest.Validity(certtest.Start, now.Add(-time.Hour)))
	_, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, root.Issue(t, "leaf", "p256").Cert), now)
	if err == nil || !strings.Contains(err.Error(), "the certificate O=Example, CN=root expired at") {
		t.Error(err)
	}
	if _, err := NewTrust(nil).Verify(mustParse(t, root.Cert), now); err == nil {
		t.Error("nothing is trusted, and something verifies")
	}
}

// A certificate that expired stands in nobody's way: an authority may have another one.
func TestVerifyByAnotherCertificate(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	key := certtest.Key(t, "p256")
	authority := func(edit func(*x509.Certificate)) *certtest.Pair {
		c := certtest.Template("middle")
		c.KeyUsage, c.IsCA = x509.KeyUsageCertSign, true
		edit(c)
		return certtest.Sign(t, c, key, root)
	}
	expired, good := authority(certtest.Validity(certtest.Start, now.Add(-time.Hour))), authority(func(*x509.Certificate) {})
	leaf := good.Issue(t, "leaf", "p256")
	if _, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, leaf.Cert, expired.Cert, good.Cert), now); err != nil {
		t.Error(err)
	}
	third := authority(func(*x509.Certificate) {})
	_, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, leaf.Cert, expired.Cert, good.Cert, third.Cert), now)
	if err == nil || !strings.Contains(err.Error(), "more than 2 certificates of O=Example, CN=middle") {
		t.Error(err)
	}
}

// Authorities that certify one another lead nowhere, and nothing of them is verified.
func TestVerifyInCircles(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	authority := func(name string, key crypto.Signer, by *certtest.Pair) *certtest.Pair {
		c := certtest.Template(name)
		c.KeyUsage, c.IsCA = x509.KeyUsageCertSign, true
		return certtest.Sign(t, c, key, by)
	}
	a, b := certtest.Key(t, "p256"), certtest.Key(t, "p256")
	ofA := authority("a", a, &certtest.Pair{Cert: authority("b", b, nil).Cert, Key: b})
	ofB := authority("b", b, &certtest.Pair{Cert: ofA.Cert, Key: a})
	leaf := ofB.Issue(t, "leaf", "p256")
	s := mustParse(t, leaf.Cert, ofA.Cert, ofB.Cert)
	if _, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(s, now); err == nil || !strings.Contains(err.Error(), "not of an authority in ca") {
		t.Error(err)
	}
}

// An authority is asked for by its own key, by that of an intermediate one, or by that of a root
// that is not sent.
func TestTrustNames(t *testing.T) {
	root, same := certtest.CA(t, "root", "ed25519", nil), certtest.CA(t, "root", "ed25519", nil)
	middle := certtest.CA(t, "middle", "ed25519", root)
	leaf := middle.Issue(t, "leaf", "ed25519")
	chain := leaf.Chain()
	var none *Trust
	trust := NewTrust([]*x509.Certificate{same.Cert, root.Cert})
	for name, tt := range map[string]struct {
		trust *Trust
		asked *certtest.Pair
		want  bool
	}{
		"the root": {trust, root, true}, "the intermediate": {trust, middle, true}, "one of the same name": {trust, same, false},
		"the intermediate, without trust": {none, middle, true}, "the root, without trust": {none, root, false},
	} {
		w := ParseWanted([]wire.Payload{NewTrust([]*x509.Certificate{tt.asked.Cert}).Request()})
		if tt.trust.Names(w, chain) != tt.want {
			t.Errorf("%s: %v", name, !tt.want)
		}
	}
	if none.Authorities() != nil || len(trust.Authorities()) != 2 {
		t.Error("the authorities are others")
	}
}

// emptyName returns the template of a certificate for the DNS name of no octets.
func emptyName() *x509.Certificate {
	c := certtest.Template("x")
	c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte{0x30, 2, 0x82, 0}}}
	return c
}
