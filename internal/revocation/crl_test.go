package revocation

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

func parse(t *testing.T, der []byte) *CRL {
	t.Helper()
	c, err := ParseCRL(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCRL(t *testing.T) {
	var none *authority
	ca := none.issue(t, "ca", 1, asCA)
	other := none.issue(t, "other", 1, asCA)
	usurper := none.issue(t, "ca", 1, asCA) // the same name, another key
	mute := none.issue(t, "mute", 1, func(c *x509.Certificate) { asCA(c); c.KeyUsage = x509.KeyUsageCertSign })
	muteVoice := &authority{cert: none.issue(t, "mute", 1, asCA).cert, key: mute.key}
	leaf := ca.issue(t, "leaf", 7, nil)
	bad := ca.issue(t, "bad", 8, nil)
	stale := func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = now.Add(-3*time.Hour), now.Add(-time.Hour) }
	held := func(l *x509.RevocationList) { stale(l); l.RevokedCertificateEntries[0].ReasonCode = onHold }
	for name, c := range map[string]struct {
		der          []byte
		cert, issuer *x509.Certificate
		status       Status
		reason       string
	}{
		"not listed":       {ca.crlOf(t, nil, 8), leaf.cert, ca.cert, Good, ""},
		"listed":           {ca.crlOf(t, nil, 6, 8), bad.cert, ca.cert, Revoked, ""},
		"empty":            {ca.crlOf(t, nil), leaf.cert, ca.cert, Good, ""},
		"another issuer":   {other.crlOf(t, nil, 7), leaf.cert, ca.cert, Unknown, `is of another issuer, "CN=other"`},
		"another pair":     {other.crlOf(t, nil, 7), leaf.cert, other.cert, Unknown, `is of another issuer, "CN=other"`},
		"forged":           {usurper.crlOf(t, nil, 7), leaf.cert, ca.cert, Unknown, "has a signature that is not of the issuer"},
		"not allowed":      {muteVoice.crlOf(t, nil), mute.issue(t, "x", 9, nil).cert, mute.cert, Unknown, "is of an issuer whose certificate does not let it sign CRLs"},
		"out of date":      {ca.crlOf(t, stale, 8), leaf.cert, ca.cert, Unknown, "is out of date since 2026-05-04T11:00:00Z"},
		"revoked for ever": {ca.crlOf(t, stale, 8), bad.cert, ca.cert, Revoked, ""},
		"was on hold":      {ca.crlOf(t, held, 8), bad.cert, ca.cert, Unknown, "is out of date since 2026-05-04T11:00:00Z"},
		"users only, CA":   {ca.crlOf(t, point(0x81)), ca.issue(t, "sub", 9, asCA).cert, ca.cert, Unknown, "is about certificates of users alone"},
		"users only":       {ca.crlOf(t, point(0x81), 8), bad.cert, ca.cert, Revoked, ""},
		"CAs only":         {ca.crlOf(t, point(0x82), 7), leaf.cert, ca.cert, Unknown, "is about certificates of CAs alone"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(t, c.der).Answer(c.cert, c.issuer, now)
			wantAnswer(t, got, err, c.status, c.reason)
		})
	}
}

// The signature that was found right for one issuer says nothing of another one of the same name.
func TestCRLOfTwoIssuers(t *testing.T) {
	var none *authority
	ca, usurper := none.issue(t, "ca", 1, asCA), none.issue(t, "ca", 1, asCA)
	leaf := ca.issue(t, "leaf", 7, nil)
	c := parse(t, ca.crlOf(t, nil))
	for range 2 {
		got, err := c.Answer(leaf.cert, ca.cert, now)
		wantAnswer(t, got, err, Good, "")
		got, err = c.Answer(leaf.cert, usurper.cert, now)
		wantAnswer(t, got, err, Unknown, "has a signature that is not of the issuer")
	}
}

// point returns a change that gives a CRL an issuing distribution point with one flag.
func point(flag byte) func(*x509.RevocationList) {
	return extension(oidIssuingDistributionPoint, []byte{0x30, 3, flag, 1, 0xff})
}

func extension(id asn1.ObjectIdentifier, value []byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: id, Critical: true, Value: value})
	}
}

func TestCRLDetails(t *testing.T) {
	var none *authority
	ca := none.issue(t, "ca", 1, asCA)
	c := parse(t, ca.crlOf(t, nil, 1, 2, 3))
	if c.Issuer() != "CN=ca" || !c.NextUpdate().Equal(now.Add(time.Hour)) || c.Size() < 3*96+100 {
		t.Errorf("%s, %s, %d", c.Issuer(), c.NextUpdate(), c.Size())
	}
	got, err := c.Answer(ca.issue(t, "x", 2, nil).cert, ca.cert, now)
	if err != nil || got.Reason != 1 || !got.Since.Equal(now.Add(-2*time.Hour)) || !got.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCRLsThatAreRefused(t *testing.T) {
	var none *authority
	ca := none.issue(t, "ca", 1, asCA)
	entryWith := func(id asn1.ObjectIdentifier) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{
				SerialNumber: big.NewInt(1), RevocationTime: now,
				ExtraExtensions: []pkix.Extension{{Id: id, Critical: true, Value: []byte{0x30, 0}}},
			}}
		}
	}
	for name, c := range map[string]struct {
		change func(*x509.RevocationList)
		want   string
	}{
		"indirect":         {point(0x84), errIndirect.Error()},
		"indirect entry":   {entryWith(oidCertificateIssuer), errIndirect.Error()},
		"unknown in entry": {entryWith(asn1.ObjectIdentifier{1, 2, 3}), "has an entry with the unknown critical extension 1.2.3"},
		"unknown":          {extension(asn1.ObjectIdentifier{1, 2, 3}, []byte{0x30, 0}), "has the unknown critical extension 1.2.3"},
		"delta":            {extension(oidDeltaCRLIndicator, []byte{2, 1, 1}), "is a delta CRL, which is not supported; name the complete one"},
		"attributes":       {point(0x85), "is about attribute certificates"},
		"point":            {extension(oidIssuingDistributionPoint, []byte{0x30}), "has an issuing distribution point that cannot be read"},
	} {
		if _, err := ParseCRL(ca.crlOf(t, c.change)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	der := ca.crlOf(t, nil, 5)
	for n := range len(der) {
		if c, err := ParseCRL(der[:n]); err == nil {
			if _, err = c.Answer(ca.issue(t, "x", 2, nil).cert, ca.cert, now); err == nil {
				t.Errorf("the first %d octets of %d were accepted", n, len(der))
			}
		}
	}
}

func FuzzCRL(f *testing.F) {
	var none *authority
	ca := none.issue(f, "ca", 1, asCA)
	leaf := ca.issue(f, "leaf", 7, nil)
	signed := map[string]bool{}
	for _, der := range [][]byte{
		ca.crlOf(f, nil), ca.crlOf(f, nil, 5), ca.crlOf(f, nil, 7), ca.crlOf(f, point(0x81)),
		ca.crlOf(f, extension(oidIssuingDistributionPoint, uriPoint("http://a/"))),
	} {
		c, err := ParseCRL(der)
		if err != nil {
			f.Fatal(err)
		}
		signed[string(c.list.RawTBSRevocationList)] = true
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ParseCRL(der)
		if err != nil {
			return
		}
		if _, err := c.Answer(leaf.cert, ca.cert, now); err == nil && !signed[string(c.list.RawTBSRevocationList)] {
			t.Error("an answer that nobody signed")
		}
	})
}
