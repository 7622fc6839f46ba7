//go:build linux

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/internal/certtest"
	"culvert/internal/netlab"
)

// crlOf returns a CRL of an authority, valid now, that lists some of its certificates.
func crlOf(t *testing.T, ca *certtest.Pair, revoked ...*certtest.Pair) []byte {
	t.Helper()
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour)}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.Cert.SerialNumber, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.Cert, ca.Key)
	ok(t, err)
	return der
}

// serve answers every HTTP request to a host with data.
func serve(t *testing.T, h *netlab.Host, address string, data []byte) {
	t.Helper()
	var l net.Listener
	ok(t, h.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		return err
	}))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(data) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// With revocation = "strict", culvert accepts strongSwan's certificate by the CRL that it fetches
// from where the certificate names, and refuses it by a CRL in a file that lists it.
func TestStrongSwanRevoked(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	pki := newSwanPKI(t, "p256")
	leaf := certtest.Template("right", "right.example.com")
	leaf.CRLDistributionPoints = []string{"http://192.0.2.2:8080/ca.crl"}
	pki.right = certtest.Sign(t, leaf, certtest.Key(t, "p256"), pki.rightCA)
	serve(t, n.right, "192.0.2.2:8080", crlOf(t, pki.rightCA))
	n.swan(t, pki.swan(t))

	left := newGateway(t, n.left)
	for name, der := range map[string][]byte{"root.crl": crlOf(t, pki.root), "ca.crl": crlOf(t, pki.rightCA, pki.right)} {
		ok(t, os.WriteFile(filepath.Join(left.dir, name), der, 0o644))
	}
	peer := func(crls string) string {
		return peerText("right", "remote = \"192.0.2.2\"\n"+pki.withCertificates(t, left)+"revocation = \"strict\"\ncrl = ["+crls+"]\n", swanChildKeys+boot)
	}
	left.start(peer(`"root.crl"`))
	left.waitUp("right")
	n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
	if got := left.status().Counters["revocation_fetches"]; got != 1 {
		t.Errorf("%d CRLs were fetched, want 1", got)
	}

	left.write(peer(`"root.crl", "ca.crl"`))
	left.do("reload")
	left.do("down", "--once", "right")
	left.wait(15*time.Second, "the reason", "right", func(p peerStatus) bool {
		return strings.Contains(p.Reason, "CN=right was revoked at ")
	})
}
