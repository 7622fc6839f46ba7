package config

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"culvert/ike/certificate"
	"culvert/internal/revocation"
)

// ExpirySoon is how long before the end of a certificate operators are warned.
const ExpirySoon = 30 * 24 * time.Hour

// A Certificate is a certificate that the configuration names, for one use.
type Certificate struct {
	*x509.Certificate
	Own   bool     // of this side, or an issuer that is sent with it; else of a CA that is trusted
	Peers []string // that have it, in the order of the files

	first int // the place of the first of them
}

// Use returns what the certificate is for: own or ca.
func (c *Certificate) Use() string {
	if c.Own {
		return "own"
	}
	return "ca"
}

// Trouble returns what is wrong with the validity of the certificate at a time, or will be soon,
// for people; "" if nothing is.
func (c *Certificate) Trouble(now time.Time) string {
	who := fmt.Sprintf("the certificate of %s, %s,", certificate.Name(c.Certificate), c.whose())
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
		return fmt.Sprintf("%s is not valid before %s; set the clock, or replace the certificate", who, stamp(c.NotBefore))
	case left < 0:
		return fmt.Sprintf("%s expired at %s; replace it", who, stamp(c.NotAfter))
	case left < ExpirySoon:
		return fmt.Sprintf("%s expires at %s, in %s; replace it", who, stamp(c.NotAfter), daysOrHours(left))
	}
	return ""
}

// Valid reports whether the certificate is valid at a time.
func (c *Certificate) Valid(now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// whose returns the use of a certificate with the peers that have it.
func (c *Certificate) whose() string {
	const most = 3
	names := make([]string, 0, most+1)
	for i, name := range c.Peers {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(c.Peers)-most))
			break
		}
		names = append(names, fmt.Sprintf("%q", name))
	}
	use := map[bool]string{true: "ours for", false: "a CA of"}[c.Own]
	return use + " " + strings.Join(names, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func daysOrHours(d time.Duration) string {
	switch hours := int(d.Hours()); {
	case hours >= 48:
		return fmt.Sprintf("%d days", hours/24)
	case hours >= 2:
		return fmt.Sprintf("%d hours", hours)
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}

// CertificatesOf returns the certificates of peers, each once for each use.
func CertificatesOf(peers []Peer) (out []Certificate) {
	type key struct {
		own bool
		der string
	}
	seen := make(map[key]int)
	note := func(at int, own bool, list []*x509.Certificate) {
		for _, x := range list {
			k := key{own, string(x.Raw)}
			i, ok := seen[k]
			if !ok {
				i, seen[k] = len(out), len(out)
				out = append(out, Certificate{Certificate: x, Own: own, first: at})
			}
			c := &out[i]
			if n := len(c.Peers); n == 0 || c.Peers[n-1] != peers[at].Name {
				c.Peers = append(c.Peers, peers[at].Name)
			}
		}
	}
	for i := range peers {
		certs := peers[i].Certificates
		if certs == nil {
			continue
		}
		for _, own := range certs.Own {
			note(i, true, own.Chain)
		}
		note(i, false, certs.Trust.Authorities())
	}
	return out
}

// A Trouble is a certificate or a CRL that is out of date, or will be soon.
type Trouble struct {
	*Error
	// Fatal: no peer can be reached by it, since it is a certificate of ours that is not valid.
	Fatal bool
	// Key tells it from others, also after a reload.
	Key string
}

// Troubles checks the validity of all certificates and CRLs at a time.
func (c *Config) Troubles(now time.Time) (list []Trouble) {
	for i := range c.Certificates {
		x := &c.Certificates[i]
		text := x.Trouble(now)
		if text == "" {
			continue
		}
		at := c.placeOf(x.first)
		e := &Error{File: at.file, Line: at.ca, Text: text}
		if x.Own {
			e.Line = at.cert
		}
		list = append(list, Trouble{Error: e, Fatal: x.Own && !x.Valid(now), Key: x.Use() + string(x.Raw)})
	}
	seen := make(map[*revocation.CRL]bool) // peers share what was read from one file
	for i := range c.Peers {
		for _, crl := range c.Peers[i].CRLs {
			if seen[crl] || !crl.NextUpdate().Before(now) {
				continue
			}
			seen[crl] = true
			at := c.placeOf(i)
			list = append(list, Trouble{Error: &Error{File: at.file, Line: at.crl, Text: fmt.Sprintf(
				"the CRL of %q is out of date since %s; get the current one and reload", crl.Issuer(), stamp(crl.NextUpdate()))}, Key: "crl" + crl.Issuer()})
		}
	}
	return list
}
