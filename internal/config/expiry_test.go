package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/ike"
	"culvert/ike/certificate"
	"culvert/internal/certtest"
	"culvert/internal/revocation"

	"crypto/x509"
)

var expiryNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// validFor returns a certificate that signs itself, and is valid from a day before expiryNow until
// some time after it.
func validFor(t *testing.T, name string, left time.Duration) *x509.Certificate {
	t.Helper()
	return certtest.CA(t, name, "p256", nil, certtest.Validity(expiryNow.AddDate(0, 0, -1), expiryNow.Add(left))).Cert
}

// with returns a peer with certificates of its own and of CAs.
func with(name string, own, cas []*x509.Certificate) Peer {
	return Peer{Peer: ike.Peer{Name: name, Certificates: &ike.Certificates{
		Own: []ike.OwnKey{{Chain: own}}, Trust: certificate.NewTrust(cas),
	}}}
}

func TestTrouble(t *testing.T) {
	const day = 24 * time.Hour
	for left, want := range map[time.Duration]string{
		31 * day:         "",
		ExpirySoon:       "",
		ExpirySoon - 1e9: "expires at 2026-06-03T11:59:59Z, in 29 days; replace it",
		30 * time.Hour:   "expires at 2026-05-05T18:00:00Z, in 30 hours; replace it",
		90 * time.Minute: "expires at 2026-05-04T13:30:00Z, in 90 minutes; replace it",
		0:                "expires at 2026-05-04T12:00:00Z, in 0 minutes; replace it",
		-time.Hour:       "expired at 2026-05-04T11:00:00Z; replace it",
	} {
		c := Certificate{Certificate: validFor(t, "a", left), Own: true, Peers: []string{"right"}}
		got := c.Trouble(expiryNow)
		if want != "" {
			want = "the certificate of " + certificate.Name(c.Certificate) + `, ours for "right", ` + want
		}
		if got != want || c.Valid(expiryNow) != (left >= 0) {
			t.Errorf("%v: %q, valid %v; want %q", left, got, c.Valid(expiryNow), want)
		}
	}
	early := Certificate{Certificate: validFor(t, "a", day), Peers: []string{"a", "b", "c", "d", "e"}}
	const want = `a CA of "a", "b", "c", 2 more, is not valid before 2026-05-03T12:00:00Z; set the clock, or replace the certificate`
	if got := early.Trouble(expiryNow.AddDate(0, 0, -2)); !strings.HasSuffix(got, want) || early.Valid(expiryNow.AddDate(0, 0, -2)) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Each certificate is there once for each use, with the peers that have it.
func TestCertificatesOf(t *testing.T) {
	a, b, ca := validFor(t, "a", time.Hour), validFor(t, "b", time.Hour), validFor(t, "ca", time.Hour)
	peers := []Peer{
		with("one", []*x509.Certificate{a, ca}, []*x509.Certificate{ca, ca}),
		{Peer: ike.Peer{Name: "psk"}},
		with("two", []*x509.Certificate{a}, []*x509.Certificate{ca}),
		with("three", []*x509.Certificate{b}, nil),
	}
	var got []string
	for _, c := range CertificatesOf(peers) {
		got = append(got, fmt.Sprint(c.Subject.CommonName, " ", c.Use(), " ", c.Peers))
	}
	if want := "a own [one two]; ca own [one]; ca ca [one two]; b own [three]"; strings.Join(got, "; ") != want {
		t.Errorf("%s, want %s", strings.Join(got, "; "), want)
	}
}

// An own certificate that is not valid is an error, where it is named; all else is a warning.
func TestTroubles(t *testing.T) {
	old, soon := validFor(t, "old", -time.Hour), validFor(t, "soon", time.Hour)
	c := &Config{
		Peers:  []Peer{with("one", nil, []*x509.Certificate{soon}), with("two", []*x509.Certificate{old, soon}, []*x509.Certificate{old})},
		places: []place{{file: "a.toml", cert: 1, ca: 2}, {file: "b.toml", cert: 3, ca: 4, crl: 5}},
	}
	c.Certificates = CertificatesOf(c.Peers)
	for _, left := range []time.Duration{-time.Hour, time.Hour} {
		crl, err := revocation.ParseCRL(crlOf(t, expiryNow.Add(left)))
		if err != nil {
			t.Fatal(err)
		}
		c.Peers[1].CRLs = append(c.Peers[1].CRLs, crl, crl)
	}
	var got []string
	for _, e := range c.Troubles(expiryNow) {
		got = append(got, map[bool]string{true: "error ", false: "warning "}[e.Fatal]+e.Error.Error())
	}
	want := []string{
		"warning a.toml:2: the certificate of O=Example, CN=soon,", "error b.toml:3: the certificate of O=Example, CN=old,",
		"warning b.toml:3: the certificate of O=Example, CN=soon,", "warning b.toml:4: the certificate of O=Example, CN=old,",
		`warning b.toml:5: the CRL of "CN=ca,O=Example" is out of date since 2026-05-04T11:00:00Z; get the current one and reload`,
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	for _, e := range c.Troubles(expiryNow.AddDate(0, 0, -1).Add(time.Hour)) {
		if e.Fatal {
			t.Errorf("a day before: %v", e)
		}
	}
}
