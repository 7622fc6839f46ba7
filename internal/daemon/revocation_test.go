package daemon

import (
	"bytes"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"culvert/internal/certtest"
	"culvert/internal/config"
)

// certified returns a daemon whose peer right has certificates of ca, and more keys in its table.
func certified(t *testing.T, ca *certtest.Pair, keys string, revoked ...*certtest.Pair) (*Daemon, *fakeParts) {
	t.Helper()
	d, f, _ := testDaemon(t, "", nil)
	for name, data := range map[string][]byte{"ca.crt": certtest.PEM(ca.Cert), "ca.crl": crlOf(t, ca, revoked...)} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(d.opts.Config), name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeConfig(t, d, strings.Replace(peerText("right", "192.0.2.2", "2"), "[[peer.child]]", "ca = \"ca.crt\"\n"+keys+"[[peer.child]]", 1))
	if _, err := d.Reload(t.Context(), forced); err != nil {
		t.Fatal(err)
	}
	return d, f
}

// The engine is given what looks up whether the peer's certificates were revoked, as configured.
func TestRevocationReachesTheEngine(t *testing.T) {
	ca := certtest.CA(t, "ca", "p256", nil)
	good, bad := ca.Issue(t, "good", "p256"), ca.Issue(t, "bad", "p256")
	for keys, want := range map[string]struct{ good, bad string }{
		"revocation = \"off\"\n":    {"not asked", "not asked"},
		"":                          {"", ""},
		"revocation = \"strict\"\n": {"nothing tells whether", "nothing tells whether"},
		"crl = \"ca.crl\"\n":        {"", "was revoked at"},
		"crl = \"ca.crl\"\nrevocation = \"strict\"\n": {"", "was revoked at"},
	} {
		_, f := certified(t, ca, keys, bad)
		ask := f.peers[0].Certificates.Revoked
		for _, c := range []struct {
			of   *certtest.Pair
			want string
		}{{good, want.good}, {bad, want.bad}} {
			got := "not asked"
			if ask != nil {
				got = ""
				if err := ask([]*x509.Certificate{c.of.Cert, ca.Cert}, nil, epoch); err != nil {
					got = err.Error()
				}
			}
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q: %s: %q, want %q", keys, c.of.Cert.Subject, got, c.want)
			}
		}
	}
}

// A reload with another CRL is in force for the next connection, and one with the same file changes
// nothing.
func TestCRLIsReloaded(t *testing.T) {
	ca := certtest.CA(t, "ca", "p256", nil)
	leaf := ca.Issue(t, "leaf", "p256")
	d, f := certified(t, ca, "crl = \"ca.crl\"\n")
	chain := []*x509.Certificate{leaf.Cert, ca.Cert}
	if err := f.peers[0].Certificates.Revoked(chain, nil, epoch); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Reload(t.Context(), forced); err != nil || len(got.Changes) != 0 {
		t.Errorf("the same files: %q, %v", got.Changes, err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(d.opts.Config), "ca.crl"), crlOf(t, ca, leaf), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := d.Reload(t.Context(), forced)
	if err != nil || len(got.Changes) != 1 || got.Changes[0] != `peer "right" changes (crl): its SAs stay; crl: from the next connection` {
		t.Errorf("another CRL: %q, %v", got.Changes, err)
	}
	if err := f.peers[0].Certificates.Revoked(chain, nil, epoch); err == nil {
		t.Error("the new CRL is not in force")
	}
}

func TestBehind(t *testing.T) {
	d, _, _ := testDaemon(t, "[daemon]\nbypass = [\"10.2.8.0/24\"]\n"+peerText("right", "192.0.2.2", "2")+"bypass = [\"10.2.7.0/24\"]\n", nil)
	c := d.config()
	is := behind(c, &c.Peers[0])
	for a, want := range map[string]bool{
		"10.2.0.0": true, "10.2.255.255": true, "10.3.0.0": false, "10.1.255.255": false, "10.2.7.1": false, "10.2.8.1": false, "2001:db8::1": false,
	} {
		if got := is(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v, want %v", a, got, want)
		}
	}
	if behind(c, &config.Peer{})(netip.MustParseAddr("10.2.0.1")) {
		t.Error("a peer without children")
	}
}

// The engine is given OCSP responses for our certificates that name a responder, unless staple says
// no.
func TestStaplesReachTheEngine(t *testing.T) {
	ca := certtest.CA(t, "ca", "p256", nil)
	for name, tt := range map[string]struct {
		server, keys string
		want         bool
	}{
		"by default": {"http://192.0.2.9/ocsp", "", true}, "off": {"http://192.0.2.9/ocsp", "staple = \"off\"\n", false}, "no responder": {"", "", false},
	} {
		leaf := certtest.Template("left", "left.example.com")
		if tt.server != "" {
			leaf.OCSPServer = []string{tt.server}
		}
		d, f, _ := testDaemon(t, "", nil)
		certtest.Sign(t, leaf, certtest.Key(t, "p256"), ca).Write(t, filepath.Dir(d.opts.Config), "left")
		if err := os.WriteFile(filepath.Join(filepath.Dir(d.opts.Config), "ca.crt"), certtest.PEM(ca.Cert), 0o600); err != nil {
			t.Fatal(err)
		}
		keys := "ca = \"ca.crt\"\ncert = \"left.crt\"\nkey = \"left.key\"\nrevocation = \"off\"\n" + tt.keys
		doc := strings.Replace(peerText("right", "192.0.2.2", "2"), "[[peer.child]]", keys+"[[peer.child]]", 1)
		writeConfig(t, d, withoutPSK(doc))
		if _, err := d.Reload(t.Context(), forced); err != nil {
			t.Fatal(err)
		}
		c := f.peers[0].Certificates
		if (c.Staple != nil) != tt.want || c.Revoked != nil {
			t.Errorf("%s: stapled %v, looked up %v", name, c.Staple != nil, c.Revoked != nil)
		}
		d.lookAtStaples()
		if got := d.fetcher.Counters()["revocation_fetches"]; tt.want && c.Staple(c.Own[0].Chain, epoch) != nil || !tt.want && got != 0 {
			t.Errorf("%s: %d fetches", name, got)
		}
	}
}

// ocspOf returns an OCSP response by which a certificate is good for an hour from epoch on.
func ocspOf(t *testing.T, ca, leaf *certtest.Pair) []byte {
	t.Helper()
	der, err := ocsp.CreateResponse(ca.Cert, ca.Cert, ocsp.Response{
		SerialNumber: leaf.Cert.SerialNumber, ThisUpdate: epoch, NextUpdate: epoch.Add(time.Hour),
	}, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestResponseOfAFile: an OCSP response in a file is sent, though the certificate names no
// responder.
func TestResponseOfAFile(t *testing.T) {
	ca := certtest.CA(t, "ca", "p256", nil)
	d, f, _ := testDaemon(t, "", nil)
	dir := filepath.Dir(d.opts.Config)
	left := ca.Issue(t, "left", "p256", "left.example.com")
	left.Write(t, dir, "left")
	want := ocspOf(t, ca, left)
	for name, data := range map[string][]byte{"ca.crt": certtest.PEM(ca.Cert), "left.ocsp": want} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := "ca = \"ca.crt\"\ncert = \"left.crt\"\nkey = \"left.key\"\nrevocation = \"off\"\nocsp = \"left.ocsp\"\n"
	writeConfig(t, d, withoutPSK(strings.Replace(peerText("right", "192.0.2.2", "2"), "[[peer.child]]", keys+"[[peer.child]]", 1)))
	if _, err := d.Reload(t.Context(), forced); err != nil {
		t.Fatal(err)
	}
	c := f.peers[0].Certificates
	if got := c.Staple(c.Own[0].Chain, epoch.Add(time.Minute)); !bytes.Equal(got, want) {
		t.Errorf("%d octets are sent", len(got))
	}
}

// withoutPSK returns a document without its lines of a secret.
func withoutPSK(doc string) string {
	lines := strings.Split(doc, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), "psk") }), "\n")
}
