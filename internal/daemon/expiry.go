package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"culvert/ike/certificate"
	"culvert/internal/config"
	"culvert/internal/control"
)

// How often the validity of certificates is looked at, and how often the log warns of the same one.
const (
	expiryLook = time.Hour
	expiryWarn = 24 * time.Hour
)

// An expiryWatch warns of certificates that expire, and of CRLs that are out of date.
type expiryWatch struct {
	warned map[string]time.Time // by the Trouble's key: when the log did last
}

// due returns the warnings that the log has not had for a day.
func (w *expiryWatch) due(list []config.Trouble, now time.Time) (texts []string) {
	last := w.warned
	w.warned = make(map[string]time.Time, len(list)) // of those that there still are
	for _, t := range list {
		at, ok := last[t.Key]
		if !ok || now.Sub(at) >= expiryWarn {
			texts, at = append(texts, t.Error.Error()), now
		}
		w.warned[t.Key] = at
	}
	return texts
}

// watchExpiry warns of certificates that expire, now and from time to time, until ctx ends.
func (d *Daemon) watchExpiry(ctx context.Context) {
	var w expiryWatch
	tick := time.NewTicker(expiryLook)
	defer tick.Stop()
	for {
		now := d.now()
		for _, text := range w.due(d.config().Troubles(now), now) {
			d.log.Warn(text, "event", "certificate-expiry")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// certificates returns the status of configured certificates.
func certificates(certs []config.Certificate, now time.Time) []control.Certificate {
	out := []control.Certificate{}
	for i := range certs {
		c := &certs[i]
		out = append(out, control.Certificate{
			Subject: certificate.Name(c.Certificate), Issuer: certificate.Issuer(c.Certificate), SHA256: fingerprint(c), Use: c.Use(), Peers: len(c.Peers),
			NotAfter: c.NotAfter.UTC(), ExpiresIn: seconds(c.NotAfter.Sub(now)), Trouble: c.Trouble(now),
		})
	}
	return out
}

// fingerprint returns the beginning of the SHA-256 of a certificate, which tells it from others of
// the same name.
func fingerprint(c *config.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:8])
}

func ofExpiry(s *sample, w *scrape) {
	for i := range s.cfg.Certificates {
		c := &s.cfg.Certificates[i]
		w.value(uint64(max(0, c.NotAfter.Unix())), `sha256="`, fingerprint(c), `",subject="`, labelText.Replace(certificate.Name(c.Certificate)), `",use="`, c.Use(), `"`)
	}
}

// labelText escapes the value of a label.
var labelText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
