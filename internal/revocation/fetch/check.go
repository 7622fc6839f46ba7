package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"culvert/ike/certificate"
	"culvert/internal/revocation"
)

// checkTime bounds a check of a chain. An IKE SA that is half open waits for it.
const checkTime = 10 * time.Second

// A Checker checks the chains of one peer.
type Checker struct {
	Fetcher *Fetcher
	// CRLs are those of the configuration. One that is in time is the answer: nothing is fetched
	// then.
	CRLs []*revocation.CRL
	// Strict has certificates refused of which nothing is found out. Else only revoked ones are.
	Strict bool
	// Avoid, if not nil, reports whether an address cannot be reached without the peer.
	Avoid func(netip.Addr) bool
}

// Check returns an error if a certificate of a chain is revoked or, if strict, may be. The chain
// is trusted: it begins with the peer's certificate, and each is signed by the next one. The last
// is configured, and is not checked. stapled are OCSP responses that the peer has sent (RFC 4806).
//
// It takes up to ten seconds.
func (c *Checker) Check(chain []*x509.Certificate, stapled [][]byte, now time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	for i := range len(chain) - 1 {
		q := query{cert: chain[i], issuer: chain[i+1], now: now, avoid: c.Avoid}
		answer, err := c.find(ctx, q, stapled)
		switch {
		case err == nil && answer.Status == revocation.Revoked:
			return certificate.FaultOf(q.cert, "the certificate of %s %v", certificate.Name(q.cert), answer)
		case err == nil || !c.Strict:
			continue
		}
		return certificate.FaultOf(q.cert, `nothing tells whether the certificate of %s is revoked, and revocation = "strict": %w`, certificate.Name(q.cert), err)
	}
	return nil
}

// find returns the answer of the first source that has one: what is at hand, then what can be
// fetched. The error has the reasons of all sources.
func (c *Checker) find(ctx context.Context, q query, stapled [][]byte) (revocation.Answer, error) {
	var all reasons
	if a, ok := c.atHand(q, stapled, &all); ok {
		return a, nil
	}
	for _, url := range q.cert.OCSPServer[:min(maxServers, len(q.cert.OCSPServer))] {
		if a, err := c.Fetcher.ocsp(ctx, q, url); all.add(a, err, "OCSP of "+quoted(url)) {
			return a, nil
		}
	}
	points := q.cert.CRLDistributionPoints
	for _, url := range points[:min(maxServers, len(points))] {
		if a, err := c.Fetcher.crl(ctx, q, url); all.add(a, err, "the CRL of "+quoted(url)) {
			return a, nil
		}
	}
	return revocation.Answer{}, all.err()
}

// atHand returns the answer of the CRLs of the configuration and of stapled responses. Of several,
// a revocation counts.
func (c *Checker) atHand(q query, stapled [][]byte, all *reasons) (found revocation.Answer, ok bool) {
	take := func(a revocation.Answer, err error, source string) {
		if all.add(a, err, source) && (!ok || a.Status == revocation.Revoked) {
			found, ok = a, true
		}
	}
	for _, crl := range c.CRLs {
		if crl.IsOf(q.cert) {
			a, err := crl.Answer(q.cert, q.issuer, q.now)
			take(a, err, "the configured CRL")
		}
	}
	for _, der := range stapled {
		a, err := revocation.OCSP(der, q.cert, q.issuer, q.now)
		take(a, err, "the peer's OCSP response")
	}
	return found, ok
}

// reasons are why sources have no answer.
type reasons []string

// add notes why a source has no answer, and reports whether it has one.
func (r *reasons) add(a revocation.Answer, err error, source string) bool {
	switch {
	case err != nil:
		*r = append(*r, source+": "+err.Error())
	case a.Status == revocation.Unknown:
		*r = append(*r, source+": the certificate "+a.String())
	default:
		return true
	}
	return false
}

// err returns the first reasons as an error.
func (r reasons) err() error {
	const most = 4
	switch {
	case len(r) == 0:
		return errors.New("it names neither an OCSP responder nor a CRL; set crl")
	case len(r) > most:
		r = append(r[:most:most], "and more")
	}
	return errors.New(strings.Join(r, "; "))
}

// quoted returns a URL for people.
func quoted(url string) string {
	const most = 120
	if len(url) > most {
		url = url[:most] + "..."
	}
	return strconv.Quote(url)
}
