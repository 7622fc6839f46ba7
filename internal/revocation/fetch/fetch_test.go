package fetch

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/revocation"
)

// An answer is fetched once, and serves until it is old.
func TestAnswersAreKept(t *testing.T) {
	p := newPKI(t, func(c *x509.Certificate) { c.OCSPServer, c.CRLDistributionPoints = []string{"http://ca/ocsp"}, nil })
	f := New(p.server)
	q := query{cert: p.leaf.cert, issuer: p.ca.cert, now: now}
	for _, c := range []struct {
		at    time.Duration
		calls int
	}{{0, 1}, {refresh - 1, 1}, {refresh, 2}, {refresh + 1, 2}} {
		q.now = now.Add(c.at)
		a, err := f.ocsp(t.Context(), q, "http://ca/ocsp")
		if err != nil || a.Status != revocation.Good || p.server.calls != c.calls {
			t.Errorf("after %v: %v, %v, %d requests; want %d", c.at, a, err, p.server.calls, c.calls)
		}
	}
	want := map[string]uint64{"revocation_fetches": 2, "revocation_failures": 0, "revocation_stored": 2}
	for name, got := range f.Counters() {
		if got != want[name] {
			t.Errorf("%s = %d, want %d", name, got, want[name])
		}
	}
}

// A CRL serves all certificates of its issuer, and no other issuer.
func TestCRLsAreShared(t *testing.T) {
	p := newPKI(t, nil)
	f := New(p.server)
	second := p.ca.issue(t, "second", 8, nil)
	p.revoke(t, second)
	for cert, want := range map[*x509.Certificate]revocation.Status{p.leaf.cert: revocation.Good, second.cert: revocation.Revoked} {
		a, err := f.crl(t.Context(), query{cert: cert, issuer: p.ca.cert, now: now}, "http://ca/crl")
		if err != nil || a.Status != want {
			t.Errorf("%v, %v; want %v", a, err, want)
		}
	}
	if p.server.calls != 1 {
		t.Errorf("%d requests, want 1", p.server.calls)
	}
	usurper := newPKI(t, nil)
	if _, err := f.crl(t.Context(), query{cert: usurper.leaf.cert, issuer: usurper.ca.cert, now: now}, "http://ca/crl"); err == nil {
		t.Error("a CRL of another issuer was believed")
	}
	if a, err := f.crl(t.Context(), query{cert: p.leaf.cert, issuer: p.ca.cert, now: now}, "http://ca/crl"); err != nil || a.Status != revocation.Good {
		t.Errorf("after that: %v, %v", a, err)
	}
}

func TestFailuresAreCounted(t *testing.T) {
	p := newPKI(t, nil)
	f := New(p.server)
	for range 3 { // two of them within pause
		if _, err := f.crl(t.Context(), query{cert: p.leaf.cert, issuer: p.ca.cert, now: now}, "http://ca/missing"); err == nil || err.Error() != "the server answers with status 404" {
			t.Errorf("%v", err)
		}
	}
	if got := f.Counters(); got["revocation_failures"] != 1 || got["revocation_fetches"] != 1 || got["revocation_stored"] != 0 {
		t.Errorf("%v", got)
	}
}

// What must be avoided reaches the dialer.
func TestAvoidReachesTheTransport(t *testing.T) {
	p := newPKI(t, nil)
	var got bool
	f := New(roundTrip(func(r *http.Request) (*http.Response, error) {
		avoid, _ := r.Context().Value(avoidKey{}).(func(netip.Addr) bool)
		got = avoid != nil && avoid(netip.MustParseAddr("10.2.0.1"))
		return p.server.RoundTrip(r)
	}))
	q := query{cert: p.leaf.cert, issuer: p.ca.cert, now: now, avoid: netip.MustParsePrefix("10.2.0.0/16").Contains}
	if _, err := f.crl(t.Context(), q, "http://ca/crl"); err != nil || !got {
		t.Errorf("%v, %v", got, err)
	}
}
