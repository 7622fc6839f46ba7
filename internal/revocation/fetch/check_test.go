package fetch

import (
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"culvert/internal/revocation"
)

// wantCheck checks a chain with both settings of Strict. An error of "" is none; reasons of
// relaxed checks are empty unless the certificate is revoked.
func wantCheck(t *testing.T, c Checker, chain []*x509.Certificate, stapled [][]byte, strict, relaxed string) {
	t.Helper()
	for _, c.Strict = range []bool{true, false} {
		got, want := "", relaxed
		if c.Strict {
			want = strict
		}
		if err := c.Check(chain, stapled, now); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("strict %v:\ngot  %s\nwant %s", c.Strict, got, want)
		}
	}
}

const revokedText = `the certificate of CN=leaf was revoked at 2026-05-04T12:00:00Z`

func parsed(t *testing.T, der []byte) *revocation.CRL {
	t.Helper()
	c, err := revocation.ParseCRL(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each source alone decides.
func TestSources(t *testing.T) {
	withOCSP := func(c *x509.Certificate) { c.OCSPServer, c.CRLDistributionPoints = []string{"http://ca/ocsp"}, nil }
	withNothing := func(c *x509.Certificate) { c.CRLDistributionPoints = nil }
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		set    func(*pki, *Checker) (stapled [][]byte)
		want   string
	}{
		"fetched CRL, good":     {nil, func(*pki, *Checker) [][]byte { return nil }, ""},
		"fetched CRL, revoked":  {nil, func(p *pki, _ *Checker) [][]byte { p.revoke(t, p.leaf); return nil }, revokedText},
		"fetched OCSP, good":    {withOCSP, func(*pki, *Checker) [][]byte { return nil }, ""},
		"fetched OCSP, revoked": {withOCSP, func(p *pki, _ *Checker) [][]byte { p.server.paths["/ocsp"] = p.ocsp(t, ocsp.Revoked); return nil }, revokedText},
		"stapled, good":         {withNothing, func(p *pki, _ *Checker) [][]byte { return [][]byte{p.ocsp(t, ocsp.Good)} }, ""},
		"stapled, revoked":      {withNothing, func(p *pki, _ *Checker) [][]byte { return [][]byte{{1}, p.ocsp(t, ocsp.Revoked)} }, revokedText},
		"file, good":            {withNothing, func(p *pki, c *Checker) [][]byte { c.CRLs = append(c.CRLs, parsed(t, p.crl(t))); return nil }, ""},
		"file, revoked": {withNothing, func(p *pki, c *Checker) [][]byte {
			p.revoke(t, p.leaf)
			c.CRLs = append(c.CRLs, parsed(t, p.crl(t)))
			return nil
		}, revokedText},
		"stapled before file": {withNothing, func(p *pki, c *Checker) [][]byte {
			c.CRLs = append(c.CRLs, parsed(t, p.crl(t)))
			return [][]byte{p.ocsp(t, ocsp.Good), p.ocsp(t, ocsp.Revoked)}
		}, revokedText},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t, c.change)
			checker := Checker{Fetcher: New(p.server)}
			wantCheck(t, checker, p.chain(), c.set(p, &checker), c.want, c.want)
		})
	}
}

// Without an answer a certificate passes if not strict. The error names each source.
func TestNoAnswer(t *testing.T) {
	const intro = `nothing tells whether the certificate of CN=leaf is revoked, and revocation = "strict": `
	p := newPKI(t, func(c *x509.Certificate) { c.CRLDistributionPoints = nil })
	wantCheck(t, Checker{Fetcher: New(p.server)}, p.chain(), nil, intro+"it names neither an OCSP responder nor a CRL; set crl", "")

	p = newPKI(t, func(c *x509.Certificate) {
		c.OCSPServer = []string{"ldap://ca/", "http://ca/ocsp", "http://ca/third"}
		c.CRLDistributionPoints = []string{"http://ca/none", "http://ca/ocsp", "http://ca/crl"}
	})
	p.server.paths["/ocsp"] = p.ocsp(t, ocsp.Unknown)
	stale := parsed(t, newPKI(t, nil).crl(t))
	wantCheck(t, Checker{Fetcher: New(p.server), CRLs: []*revocation.CRL{stale}}, p.chain(), [][]byte{{1}}, intro+
		`the configured CRL: has a signature that is not of the issuer; `+
		`the peer's OCSP response: is not an OCSP response that can be read; `+
		`OCSP of "ldap://ca/": the URL is not one of HTTP; `+
		`OCSP of "http://ca/ocsp": the certificate is unknown to its issuer; and more`, "")
}

// A CRL of a file that is in time is the answer, without a fetch.
func TestFilesComeFirst(t *testing.T) {
	p := newPKI(t, nil)
	wantCheck(t, Checker{Fetcher: New(p.server), CRLs: []*revocation.CRL{parsed(t, p.crl(t))}}, p.chain(), nil, "", "")
	if p.server.calls != 0 {
		t.Errorf("%d requests", p.server.calls)
	}
}

// All certificates of the chain but the last, which is configured, are checked.
func TestChains(t *testing.T) {
	p := newPKI(t, nil)
	sub := p.ca.issue(t, "sub", 9, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.SubjectKeyId = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, []byte{2}
	})
	end := sub.issue(t, "end", 7, func(c *x509.Certificate) { c.CRLDistributionPoints = nil })
	of := &pki{ca: sub, server: p.server}
	c := Checker{Fetcher: New(p.server), CRLs: []*revocation.CRL{parsed(t, of.crl(t))}}
	chain := []*x509.Certificate{end.cert, sub.cert, p.ca.cert}
	wantCheck(t, c, chain, nil, "", "")
	p.revoke(t, sub)
	c.Fetcher = New(p.server)
	const revoked = `the certificate of CN=sub was revoked at 2026-05-04T12:00:00Z`
	wantCheck(t, c, chain, nil, revoked, revoked)
	wantCheck(t, c, []*x509.Certificate{sub.cert}, nil, "", "")
	wantCheck(t, c, nil, nil, "", "")
}

// A server that does not answer holds a check for a bounded time, and the next one not at all.
func TestTarpit(t *testing.T) {
	p := newPKI(t, func(c *x509.Certificate) { c.OCSPServer = []string{"http://a/", "http://b/"} })
	synctest.Test(t, func(t *testing.T) {
		c := Checker{Strict: true, Fetcher: New(roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))}
		for _, most := range []time.Duration{checkTime, 0} {
			begin := time.Now()
			err := c.Check(p.chain(), nil, now)
			if err == nil || !strings.Contains(err.Error(), `OCSP of "http://a/": no answer in time; OCSP of "http://b/": no answer in time`) {
				t.Error(err)
			}
			if took := time.Since(begin); took > most {
				t.Errorf("took %v, want at most %v", took, most)
			}
			time.Sleep(fetchTime)
		}
	})
}

func TestQuoted(t *testing.T) {
	if got := quoted("a\n" + strings.Repeat("b", 200)); len(got) > 130 || !strings.HasPrefix(got, `"a\nbbb`) {
		t.Error(got)
	}
}
