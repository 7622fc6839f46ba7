package daemon

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
	"culvert/ike/certificate"
	"culvert/internal/certtest"
	"culvert/internal/config"
)

// expiring returns a configuration whose one peer trusts CAs that are valid for some days from
// epoch on.
func expiring(t *testing.T, days ...int) *config.Config {
	t.Helper()
	var cas []*x509.Certificate
	for _, n := range days {
		name := fmt.Sprintf("\"ca\"\\%d", n)
		cas = append(cas, certtest.CA(t, name, "p256", nil, certtest.Validity(epoch.AddDate(-1, 0, 0), epoch.AddDate(0, 0, n))).Cert)
	}
	c := &config.Config{Peers: []config.Peer{{Peer: ike.Peer{Name: "right", Certificates: &ike.Certificates{Trust: certificate.NewTrust(cas)}}}}}
	c.Certificates = config.CertificatesOf(c.Peers)
	return c
}

// The log warns of a certificate once a day, from 30 days before its end on, also after a reload.
func TestExpiryIsWarnedOfDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, _ := testDaemon(t, "", nil)
		out, before := &syncBuffer{}, 0
		d.log = slog.New(slog.NewTextHandler(out, nil))
		begin := time.Now()
		d.now = func() time.Time { return epoch.Add(time.Since(begin)) }
		d.cfg = expiring(t, 32, 400)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.watchExpiry(ctx) }()
		warned := func() int {
			synctest.Wait()
			all := strings.Count(out.String(), "event=certificate-expiry")
			defer func() { before = all }()
			return all - before
		}
		for day, want := range []int{0, 0, 0, 1, 1, 1} { // before day 2 it is not due; it is at its first look after
			if got := warned(); got != want {
				t.Errorf("day %d: %d warnings, want %d", day, got, want)
			}
			time.Sleep(24 * time.Hour)
			if day == 4 {
				d.mu.Lock()
				d.cfg = &config.Config{Certificates: d.cfg.Certificates[:1]}
				d.mu.Unlock()
			}
		}
		cancel()
		<-done
	})
}

func TestExpiryOfSeveral(t *testing.T) {
	var w expiryWatch
	certs := expiring(t, 1, 2, 400).Troubles(epoch)
	for _, c := range []struct {
		at   time.Duration
		of   []config.Trouble
		want int
	}{{0, certs, 2}, {time.Hour, certs, 0}, {2 * time.Hour, certs[1:], 0}, {3 * time.Hour, certs, 1}, {24 * time.Hour, certs, 1}, {25 * time.Hour, certs, 0}} {
		if got := w.due(c.of, epoch.Add(c.at)); len(got) != c.want {
			t.Errorf("after %v: %q, want %d", c.at, got, c.want)
		}
	}
}

// The status has the certificates, of one peer those of that peer.
func TestStatusOfCertificates(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("right", "192.0.2.2", "2")+peerText("left", "192.0.2.3", "3"), nil)
	f.status = []ike.PeerStatus{{Name: "right"}, {Name: "left"}}
	extra := expiring(t, 20, 400)
	d.cfg.Peers[0].Certificates = extra.Peers[0].Certificates
	d.cfg.Certificates = config.CertificatesOf(d.cfg.Peers)
	for name, want := range map[string]int{"": 2, "right": 2, "left": 0} {
		st, err := d.Status(t.Context())
		if name != "" {
			st, err = d.StatusOf(t.Context(), name)
		}
		if err != nil || len(st.Certificates) != want {
			t.Fatalf("%q: %d certificates, %v; want %d", name, len(st.Certificates), err, want)
		}
	}
	st, _ := d.Status(t.Context())
	c := st.Certificates[0]
	if c.Use != "ca" || c.Peers != 1 || len(c.SHA256) != 16 || !c.NotAfter.Equal(epoch.AddDate(0, 0, 20)) || c.ExpiresIn != 20*86400-10 ||
		!strings.Contains(c.Trouble, "expires at") || c.Subject != c.Issuer || st.Certificates[1].Trouble != "" {
		t.Errorf("%+v", c)
	}
}

func TestMetricOfCertificates(t *testing.T) {
	d, _, _ := testDaemon(t, "", nil)
	d.cfg = expiring(t, 20)
	page := scrapeOf(d).Body.String()
	parsed(t, page)
	want := fmt.Sprintf("culvert_certificate_expiry_timestamp_seconds{sha256=%q,subject=", fingerprint(&d.cfg.Certificates[0]))
	if end := fmt.Sprintf(",use=\"ca\"} %d\n", epoch.AddDate(0, 0, 20).Unix()); !strings.Contains(page, want) || !strings.Contains(page, end) {
		t.Errorf("got\n%s\nwant %s...%s", page, want, end)
	}
}
