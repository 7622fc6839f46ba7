package fetch

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/netip"
	"slices"
	"time"

	"culvert/internal/revocation"
)

// A Stapler finds OCSP responses for certificates of ours, which peers ask for so that they need
// not ask the responder themselves (RFC 4806).
type Stapler struct {
	Fetcher *Fetcher
	// Given are responses that an operator provides, in DER. One that is in time is sent, and
	// nothing is fetched then.
	Given [][]byte
	// Issuers are certificates of CAs among which that of the issuer may be, beside the chain.
	Issuers []*x509.Certificate
	// Avoid, if not nil, reports whether an address cannot be reached without the peer.
	Avoid func(netip.Addr) bool
}

// Response returns a response by which the first certificate of a chain is not revoked, and which
// is valid now, in DER; nil if none is at hand. It never waits: what is not at hand, or is half out
// of date, is fetched meanwhile, from where the certificate names. Of those that are given it takes
// the one that is valid for longest.
func (s *Stapler) Response(chain []*x509.Certificate, now time.Time) []byte {
	issuer := s.issuerOf(chain)
	if issuer == nil {
		return nil
	}
	q := query{cert: chain[0], issuer: issuer, now: now, avoid: s.Avoid}
	var best []byte
	var until time.Time
	for _, der := range s.Given {
		if end, ok := q.good(der); ok && end.After(until) {
			best, until = der, end
		}
	}
	if best != nil {
		return best
	}
	for _, url := range q.cert.OCSPServer[:min(maxServers, len(q.cert.OCSPServer))] {
		der := s.Fetcher.peekOCSP(q, url)
		if _, ok := q.good(der); ok {
			return der
		}
	}
	return nil
}

// An Issuers has the issuers of certificates that were found already, by the DER of these.
type Issuers map[string]*x509.Certificate

// Refresh has the responses for the first certificate of a chain fetched that are missing or half
// out of date, without waiting, unless one that is given is in time. It verifies none that is at
// hand: Response does, when one is sent. So it costs little to call it for the same certificate of
// many peers, with the same known.
func (s *Stapler) Refresh(chain []*x509.Certificate, now time.Time, known Issuers) {
	if len(chain) == 0 {
		return
	}
	der := string(chain[0].Raw)
	issuer := known[der]
	if issuer == nil {
		if issuer = s.issuerOf(chain); issuer == nil {
			return
		}
		known[der] = issuer
	}
	q := query{cert: chain[0], issuer: issuer, now: now, avoid: s.Avoid}
	if slices.ContainsFunc(s.Given, func(der []byte) bool { _, ok := q.good(der); return ok }) {
		return
	}
	for _, url := range q.cert.OCSPServer[:min(maxServers, len(q.cert.OCSPServer))] {
		s.Fetcher.peekOCSP(q, url)
	}
}

// good reports whether a response says now that the certificate is good, and until when.
func (q *query) good(der []byte) (until time.Time, ok bool) {
	a, err := revocation.OCSP(der, q.cert, q.issuer, q.now)
	return a.Until, err == nil && a.Status == revocation.Good && q.now.Before(a.Until)
}

// issuerOf returns the certificate whose key signed the first one of a chain, or nil.
func (s *Stapler) issuerOf(chain []*x509.Certificate) *x509.Certificate {
	if len(chain) == 0 || len(chain[0].OCSPServer)+len(s.Given) == 0 {
		return nil
	}
	for _, c := range slices.Concat(chain[1:], s.Issuers) {
		if bytes.Equal(c.RawSubject, chain[0].RawIssuer) && chain[0].CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

// peekOCSP returns the response of the responder at url that is at hand, or nil.
func (f *Fetcher) peekOCSP(q query, url string) []byte {
	key, load, err := f.loadOCSP(q, url)
	if err != nil {
		return nil
	}
	der, _ := f.store.peek(key, q.now, f.counted(q, load)).([]byte)
	return der
}

// counted has a load run within the bounds of a fetch, and counted as one.
func (f *Fetcher) counted(q query, load func(context.Context) (item, error)) func() (item, error) {
	return func() (item, error) {
		f.counts.fetches.Add(1)
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), avoidKey{}, q.avoid), fetchTime)
		defer cancel()
		it, err := load(ctx)
		if err != nil {
			f.counts.failures.Add(1)
		}
		return it, err
	}
}
