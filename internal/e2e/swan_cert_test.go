//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/internal/certtest"
	"culvert/internal/netlab"
)

// swanPKI is a root, and for each side an intermediate authority and a certificate.
type swanPKI struct{ root, leftCA, rightCA, left, right *certtest.Pair }

func newSwanPKI(t *testing.T, kind string) *swanPKI {
	p := &swanPKI{root: certtest.CA(t, "root", kind, nil)}
	p.leftCA, p.rightCA = certtest.CA(t, "left CA", kind, p.root), certtest.CA(t, "right CA", kind, p.root)
	p.left = p.leftCA.Issue(t, "left", kind, "left.example.com")
	p.right = p.rightCA.Issue(t, "right", kind, "right.example.com")
	return p
}

// swan gives strongSwan its certificate, with the authority that it sends beside it, and the root.
func (p *swanPKI) swan(t *testing.T) func(c *netlab.SwanConfig) {
	return func(c *netlab.SwanConfig) {
		c.LocalAuth, c.RemoteAuth = "auth = pubkey\n      certs = right.crt", "auth = pubkey"
		c.Files = map[string][]byte{
			"x509/right.crt": certtest.PEM(p.right.Cert), "private/right.key": certtest.KeyPEM(t, p.right.Key),
			"x509ca/root.crt": certtest.PEM(p.root.Cert), "x509ca/right-ca.crt": certtest.PEM(p.rightCA.Cert),
		}
	}
}

// withCertificates writes the files of left, and returns the keys of its peer.
func (p *swanPKI) withCertificates(t *testing.T, g *gateway) string {
	t.Helper()
	p.left.Write(t, g.dir, "left")
	ok(t, os.WriteFile(filepath.Join(g.dir, "root.crt"), certtest.PEM(p.root.Cert), 0o644))
	return "cert = \"left.crt\"\nkey = \"left.key\"\nca = \"root.crt\"\nremote_id = \"right.example.com\"\n"
}

// Certificates with an intermediate authority on each side, which only its own side has, connect
// culvert and strongSwan by its defaults, whoever initiates.
func TestStrongSwanCertificates(t *testing.T) {
	for _, kind := range []string{"rsa3072", "p256", "ed25519"} {
		pki := newSwanPKI(t, kind)
		for _, initiates := range []string{"culvert", "strongSwan"} {
			t.Run(kind+", "+initiates+" initiates", func(t *testing.T) {
				t.Parallel()
				n := build(t, topology{})
				s := n.swan(t, func(c *netlab.SwanConfig) {
					pki.swan(t)(c)
					if initiates == "strongSwan" {
						c.RemoteAddr = "192.0.2.1"
					}
				})
				left := newGateway(t, n.left)
				start := boot
				if initiates == "strongSwan" {
					start = "  start = \"never\""
				}
				left.start(peerText("right", "remote = \"192.0.2.2\"\n"+pki.withCertificates(t, left), swanChildKeys+start))
				if initiates == "strongSwan" {
					ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
				}
				left.waitUp("right")
				n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
				if out := ctl(t, s, "--list-sas"); !strings.Contains(out, "left.example.com") {
					t.Errorf("strongSwan knows another peer:\n%s", out)
				}
			})
		}
	}
}

// strongSwan authenticates by its certificate, and culvert by a pre-shared key; a certificate of
// another authority is refused, with the reason.
func TestStrongSwanCertificateAndKey(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	pki, other := newSwanPKI(t, "p256"), newSwanPKI(t, "p256")
	n.swan(t, func(c *netlab.SwanConfig) {
		pki.swan(t)(c)
		c.RemoteAuth = "auth = psk"
	})
	left := newGateway(t, n.left)
	ok(t, os.WriteFile(filepath.Join(left.dir, "root.crt"), certtest.PEM(other.root.Cert), 0o644))
	left.start(peerText("right", "remote = \"192.0.2.2\"\nca = \"root.crt\"\n"+identities("left", "right"), swanChildKeys+boot))
	left.wait(15*time.Second, "the reason", "right", func(p peerStatus) bool { return strings.Contains(p.Reason, "whose key did not sign it") })
	ok(t, os.WriteFile(filepath.Join(left.dir, "root.crt"), certtest.PEM(pki.root.Cert), 0o644))
	left.do("reload")
	left.waitUp("right")
	n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
}
