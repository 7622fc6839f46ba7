package fetch

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// staplePKI is a CA whose responder the leaf names, and a Stapler.
func staplePKI(t *testing.T) (*pki, *Stapler) {
	t.Helper()
	p := newPKI(t, func(c *x509.Certificate) { c.OCSPServer = []string{"http://ca/ocsp"} })
	return p, &Stapler{Fetcher: New(p.server)}
}

// settled waits until no fetch is under way.
func (s *Stapler) settled(t *testing.T) {
	t.Helper()
	for {
		s.Fetcher.store.mu.Lock()
		var wait *flight
		for _, at := range s.Fetcher.store.entries {
			if f := at.Value.(*entry).flight; f != nil {
				wait = f
			}
		}
		s.Fetcher.store.mu.Unlock()
		if wait == nil {
			return
		}
		<-wait.done
	}
}

// TestRefresh: what is missing or half out of date is fetched, and the issuer of a certificate is
// looked for once for all peers that have it.
func TestRefresh(t *testing.T) {
	p, s := staplePKI(t)
	known := Issuers{}
	step := func(what string, of *Stapler, chain []*x509.Certificate, at time.Time, calls int) {
		t.Helper()
		of.Refresh(chain, at, known)
		s.settled(t)
		p.server.mu.Lock()
		defer p.server.mu.Unlock()
		if p.server.calls != calls || len(known) != min(calls, 1) {
			t.Errorf("%s: %d requests, want %d; %d issuers are known", what, p.server.calls, calls, len(known))
		}
	}
	alone := p.chain()[:1]
	step("no certificate", s, nil, now, 0)
	step("no issuer", &Stapler{Fetcher: s.Fetcher}, alone, now, 0)
	step("nothing at hand", s, p.chain(), now, 1)
	step("at hand", s, p.chain(), now, 1)
	step("old, and another peer found the issuer", &Stapler{Fetcher: s.Fetcher}, alone, now.Add(refresh), 2)
	given := &Stapler{Fetcher: s.Fetcher, Given: [][]byte{p.server.paths["/ocsp"]}}
	step("one is given", given, alone, now.Add(2*refresh), 2)
	step("what is given is no response", &Stapler{Fetcher: s.Fetcher, Given: [][]byte{{0}}}, alone, now.Add(2*refresh), 3)
}

// A response is fetched while nobody waits for it, is at hand from then on, and is fetched again
// when it is half out of date. One that is out of date is not sent.
func TestStapler(t *testing.T) {
	p, s := staplePKI(t)
	first := p.server.paths["/ocsp"]
	at := now
	step := func(what string, want []byte, calls int) {
		t.Helper()
		got := s.Response(p.chain(), at)
		s.settled(t)
		p.server.mu.Lock()
		defer p.server.mu.Unlock()
		if !bytes.Equal(got, want) || p.server.calls != calls {
			t.Errorf("%s: %d octets after %d requests, want %d after %d", what, len(got), p.server.calls, len(want), calls)
		}
	}
	step("nothing at hand", nil, 1)
	step("at hand", first, 1)
	at = now.Add(refresh - time.Second)
	step("not old yet", first, 1)
	at = now.Add(refresh)
	step("old", first, 2)
	step("fetched again", first, 2)
	delete(p.server.paths, "/ocsp")
	at = now.Add(13 * time.Hour)
	step("the server is gone", first, 3)
	at = at.Add(pause - time.Second)
	step("the server is left alone", first, 3)
	at = now.AddDate(0, 0, 1)
	step("out of date", nil, 4)
}

// What is valid for a short time is fetched again when half of that is over.
func TestStaplerRefreshesInTime(t *testing.T) {
	p, s := staplePKI(t)
	der, err := ocsp.CreateResponse(p.ca.cert, p.ca.cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: p.leaf.cert.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(10 * time.Minute),
	}, p.ca.key)
	if err != nil {
		t.Fatal(err)
	}
	p.server.paths["/ocsp"] = der
	s.Response(p.chain(), now)
	for after, calls := range []int{1, 1, 1, 1, 1, 1, 2} {
		s.settled(t)
		s.Response(p.chain(), now.Add(time.Duration(after)*time.Minute))
		s.settled(t)
		if p.server.calls != calls {
			t.Errorf("after %d minutes: %d requests, want %d", after, p.server.calls, calls)
		}
	}
}

// Nothing is sent, and what has no hope of a response causes no request, unless the certificate is
// good by its issuer.
func TestStaplerHasNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(p *pki, s *Stapler) []*x509.Certificate
		calls  int
		sent   bool
	}{
		"the issuer is in the chain": {func(p *pki, _ *Stapler) []*x509.Certificate { return p.chain() }, 1, true},
		"the issuer is in ca":        {func(p *pki, s *Stapler) []*x509.Certificate { s.Issuers = p.chain(); return p.chain()[:1] }, 1, true},
		"the issuer is not known":    {func(p *pki, _ *Stapler) []*x509.Certificate { return p.chain()[:1] }, 0, false},
		"one of the same name":       {func(p *pki, s *Stapler) []*x509.Certificate { s.Issuers = newPKI(t, nil).chain(); return p.chain()[:1] }, 0, false},
		"no chain":                   {func(*pki, *Stapler) []*x509.Certificate { return nil }, 0, false},
		"no responder":               {func(p *pki, _ *Stapler) []*x509.Certificate { return newPKI(t, nil).chain() }, 0, false},
		"revoked": {func(p *pki, _ *Stapler) []*x509.Certificate {
			p.server.paths["/ocsp"] = p.ocsp(t, ocsp.Revoked)
			return p.chain()
		}, 1, false},
		"unknown": {func(p *pki, _ *Stapler) []*x509.Certificate {
			p.server.paths["/ocsp"] = p.ocsp(t, ocsp.Unknown)
			return p.chain()
		}, 1, false},
		"of another CA": {func(p *pki, _ *Stapler) []*x509.Certificate {
			p.server.paths["/ocsp"] = newPKI(t, nil).ocsp(t, ocsp.Good)
			return p.chain()
		}, 1, false},
		"nonsense": {func(p *pki, _ *Stapler) []*x509.Certificate { p.server.paths["/ocsp"] = []byte("x"); return p.chain() }, 1, false},
	} {
		p, s := staplePKI(t)
		chain := tt.change(p, s)
		s.Response(chain, now)
		s.settled(t)
		if got := s.Response(chain, now); (got != nil) != tt.sent || p.server.calls != tt.calls {
			t.Errorf("%s: %d octets, %d requests", name, len(got), p.server.calls)
		}
	}
}

// TestStaplerIsGiven: of the responses that are given the one is sent that is valid for longest,
// whether the certificate names a responder or not, and nothing is fetched. One that is out of
// date, revokes or is about another certificate is not sent: then the responder is asked.
func TestStaplerIsGiven(t *testing.T) {
	response := func(p *pki, status int, hours time.Duration) []byte {
		der, err := ocsp.CreateResponse(p.ca.cert, p.ca.cert, ocsp.Response{
			Status: status, SerialNumber: p.leaf.cert.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(hours * time.Hour),
		}, p.ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for _, responder := range []bool{false, true} {
		p, s := staplePKI(t)
		if !responder {
			p = newPKI(t, nil)
		}
		long, short := response(p, ocsp.Good, 9), response(p, ocsp.Good, 3)
		s.Given = [][]byte{short, long, short, response(p, ocsp.Revoked, 20), response(newPKI(t, nil), ocsp.Good, 20), nil}
		if got := s.Response(p.chain(), now.Add(time.Hour)); !bytes.Equal(got, long) || p.server.calls != 0 {
			t.Errorf("responder %v: %d octets after %d requests", responder, len(got), p.server.calls)
		}
		got := s.Response(p.chain(), now.Add(9*time.Hour))
		s.settled(t)
		if want := map[bool]int{true: 1}[responder]; got != nil || p.server.calls != want {
			t.Errorf("responder %v: out of date, %d octets are sent after %d requests", responder, len(got), p.server.calls)
		}
	}
}
