// Package fetch finds out whether certificates were revoked: from CRLs in files, from OCSP
// responses that the peer sends, and from what it fetches, by HTTP, from where the certificates
// name. Package revocation decides what that proves.
//
// What a certificate names is fetched only for chains that are trusted, of peers that have proved
// that they hold the key. Still a CA may be wicked or its servers slow or impersonated: time,
// sizes, the number and the rate of fetches and the memory for what they bring are bounded.
package fetch

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"culvert/internal/revocation"
)

// Bounds of one fetch.
const (
	fetchTime = 4 * time.Second // with the time in the queue of its host
	maxOCSP   = 64 << 10        // octets
	maxCRL    = 4 << 20
)

// Servers of one kind that a certificate names and that are asked.
const maxServers = 2

// A Fetcher fetches CRLs and OCSP responses and keeps them. One serves all peers. Its methods are
// safe for concurrent use.
type Fetcher struct {
	client http.Client
	limits limits
	store  store
	counts struct{ fetches, failures, stored atomic.Uint64 }
}

// New returns a Fetcher that sends its requests by transport, such as Network.
func New(transport http.RoundTripper) *Fetcher {
	f := &Fetcher{limits: newLimits(), store: newStore()}
	f.client = http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return f
}

// Counters returns the numbers of fetches, of those that failed, and of answers that were at hand.
func (f *Fetcher) Counters() map[string]uint64 {
	return map[string]uint64{
		"revocation_fetches":  f.counts.fetches.Load(),
		"revocation_failures": f.counts.failures.Load(),
		"revocation_stored":   f.counts.stored.Load(),
	}
}

// A query is the question whether a certificate of an issuer is revoked.
type query struct {
	cert, issuer *x509.Certificate
	now          time.Time
	avoid        func(netip.Addr) bool // addresses that cannot be reached without the peer; nil: none
}

// ocsp asks the responder at url.
func (f *Fetcher) ocsp(ctx context.Context, q query, url string) (revocation.Answer, error) {
	key, load, err := f.loadOCSP(q, url)
	if err != nil {
		return revocation.Answer{}, err
	}
	got, err := f.get(ctx, key, q, load)
	if err != nil {
		return revocation.Answer{}, err
	}
	return revocation.OCSP(got.([]byte), q.cert, q.issuer, q.now)
}

// loadOCSP returns the key of a response in the store, and what fetches it.
func (f *Fetcher) loadOCSP(q query, url string) (key string, load func(context.Context) (item, error), err error) {
	request, err := revocation.OCSPRequest(q.cert, q.issuer)
	return "ocsp " + url + " " + string(request), func(ctx context.Context) (item, error) {
		der, err := f.send(ctx, call{url: url, body: request, limit: maxOCSP})
		if err != nil {
			return item{}, err
		}
		a, err := revocation.OCSP(der, q.cert, q.issuer, q.now)
		return item{value: der, size: len(der), until: a.Until}, err
	}, err
}

// crl looks into the CRL at url.
func (f *Fetcher) crl(ctx context.Context, q query, url string) (revocation.Answer, error) {
	// With the issuer in the key, a certificate of another one cannot make the CRL fail for this.
	key := fmt.Sprintf("crl %s %x", url, sha256.Sum256(q.issuer.Raw))
	got, err := f.get(ctx, key, q, func(ctx context.Context) (item, error) {
		der, err := f.send(ctx, call{url: url, limit: maxCRL})
		if err != nil {
			return item{}, err
		}
		c, err := revocation.ParseCRL(der)
		if err != nil {
			return item{}, err
		}
		return item{value: c, size: c.Size(), until: c.NextUpdate()}, c.SignedBy(q.issuer)
	})
	if err != nil {
		return revocation.Answer{}, err
	}
	return got.(*revocation.CRL).Answer(q.cert, q.issuer, q.now)
}

// get returns the value of key, from the store or by load.
func (f *Fetcher) get(ctx context.Context, key string, q query, load func(context.Context) (item, error)) (any, error) {
	v, stored, err := f.store.get(ctx, key, q.now, f.counted(q, load))
	if stored {
		f.counts.stored.Add(1)
	}
	return v, err
}
