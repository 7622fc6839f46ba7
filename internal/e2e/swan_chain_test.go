//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"culvert/internal/certtest"
	"culvert/internal/netlab"
)

// Chains with an authority of RSA-4096 pass in IKE fragments between culvert and strongSwan over a
// path of the least MTU of IPv6, whoever initiates, over IPv4 and IPv6.
func TestChainsOverASmallPath(t *testing.T) {
	t.Parallel() // a key of RSA-4096 takes seconds
	pki := &swanPKI{root: certtest.CA(t, "root", "rsa3072", nil)}
	pki.leftCA = certtest.CA(t, "an authority with a name that is as long as they are in some companies", "rsa4096", pki.root)
	pki.rightCA = pki.leftCA
	pki.left = pki.leftCA.Issue(t, "left", "rsa3072", "left.example.com")
	pki.right = pki.rightCA.Issue(t, "right", "rsa3072", "right.example.com")
	if n := len(pki.left.Cert.Raw) + len(pki.leftCA.Cert.Raw); n < 1280 {
		t.Fatalf("the chain has %d octets, which one datagram carries", n)
	}
	for _, tt := range []struct {
		out        outer
		bySwan     bool
		initiator  string
		remoteAddr string
	}{{out: outer4, initiator: "culvert"}, {out: outer6, initiator: "strongSwan", bySwan: true}} {
		t.Run(tt.out.name+", "+tt.initiator+" initiates", func(t *testing.T) {
			t.Parallel()
			n := build(t, topology{mtu: 1280})
			s := n.swan(t, func(c *netlab.SwanConfig) {
				pki.swan(t)(c)
				if tt.bySwan {
					c.RemoteAddr = tt.out.left
				}
			})
			left := newGateway(t, n.left)
			start := boot
			if tt.bySwan {
				start = "  start = \"never\""
			}
			left.start(peerText("right", "remote = \""+tt.out.right+"\"\n"+pki.withCertificates(t, left), swanChildKeys+start))
			if tt.bySwan {
				ctl(t, s, "--initiate", "--child", "v4", "--timeout", "30")
			}
			left.waitUp("right")
			n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
			for _, way := range []string{"parsed IKE_AUTH", "generating IKE_AUTH"} {
				if !logs(s, way, "EF(2/") {
					t.Errorf("strongSwan's log has no fragment %q:\n%s", way, s.Log())
				}
			}
			if got := left.peer("right").Remote; !strings.Contains(got, tt.out.right) {
				t.Errorf("the peer is at %s, want %s", got, tt.out.right)
			}
		})
	}
}

// logs reports whether a line of strongSwan's log has both texts.
func logs(s *netlab.Swan, one, other string) bool {
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, one) && strings.Contains(line, other) {
			return true
		}
	}
	return false
}

// Certificates and CAs are replaced by reloads of both gateways under 100 packets a second, one
// step after the other. Each new authentication is by the new ones, and nothing is lost.
func TestCertificatesAreRotated(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	older, newer := newSwanPKI(t, "p256"), newSwanPKI(t, "ed25519")
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	for _, g := range []*gateway{left, right} {
		for name, p := range map[string]*swanPKI{"old": older, "new": newer} {
			p.left.Write(t, g.dir, name+"-left")
			p.right.Write(t, g.dir, name+"-right")
			ok(t, os.WriteFile(filepath.Join(g.dir, name+"-ca.crt"), certtest.PEM(p.root.Cert), 0o644))
		}
	}
	text := func(side, peer, remote, own, cas, local, far, start string) string {
		return peerText(peer, fmt.Sprintf("%slocal_id = \"%s.example.com\"\nremote_id = \"%s.example.com\"\ncert = \"%s-%s.crt\"\nkey = \"%s-%s.key\"\nca = [%s]\nauth_lifetime = \"10s\"\n", remote, side, peer, own, side, own, side, cas), childText("v4", local, far, start))
	}
	ofLeft := func(own, cas string) string {
		return text("left", "right", "remote = \"192.0.2.2\"\n", own, cas, "10.1.0.0/16", "10.2.0.0/16", boot)
	}
	ofRight := func(own, cas string) string {
		return text("right", "left", "", own, cas, "10.2.0.0/16", "10.1.0.0/16", "")
	}
	const oldCA, both, newCA = `"old-ca.crt"`, `"old-ca.crt", "new-ca.crt"`, `"new-ca.crt"`
	right.start(ofRight("old", oldCA))
	left.start(ofLeft("old", oldCA))
	left.waitUp("right")
	right.waitUp("left")

	stop, done := make(chan struct{}), make(chan [2]int, 1)
	go func() {
		got, lost := 0, 0
		for ended := false; !ended; {
			rtts, n, err := n.left.Pings(t.Context(), leftLAN4, rightLAN4, 100, time.Second)
			if err != nil {
				t.Errorf("pings: %v", err)
			}
			got, lost = got+len(rtts), lost+n
			select {
			case <-stop:
				ended = true
			default:
				ended = err != nil
			}
		}
		done <- [2]int{got, lost}
	}()
	steps := [][2]string{{ofLeft("old", both), ofRight("old", both)}, {ofLeft("new", both), ofRight("new", both)}, {ofLeft("new", newCA), ofRight("new", newCA)}}
	for i, step := range steps {
		was := left.peer("right").SPIi
		left.write(step[0])
		left.do("reload")
		right.write(step[1])
		right.do("reload")
		left.wait(40*time.Second, fmt.Sprintf("step %d: another IKE SA", i), "right", func(p peerStatus) bool { return p.SPIi != was && p.State == "established" })
	}
	close(stop)
	r := <-done
	if r[0] == 0 || r[1] > 0 {
		t.Errorf("%d packets came back and %d were lost", r[0], r[1])
	}
	t.Logf("%d packets came back, %d were lost", r[0], r[1])
}

// A responder of OCSP in right's host answers for a CA.
type responder struct {
	ca      *certtest.Pair
	revoked atomic.Bool
	asked   atomic.Int32
}

// ServeHTTP implements http.Handler.
func (r *responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<16))
	q, err2 := ocsp.ParseRequest(body)
	if err != nil || err2 != nil {
		http.Error(w, "not a request", http.StatusBadRequest)
		return
	}
	r.asked.Add(1)
	a := ocsp.Response{Status: ocsp.Good, SerialNumber: q.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	if r.revoked.Load() {
		a.Status, a.RevokedAt, a.RevocationReason = ocsp.Revoked, time.Now().Add(-time.Hour), ocsp.KeyCompromise
	}
	der, err := ocsp.CreateResponse(r.ca.Cert, r.ca.Cert, a, r.ca.Key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(der)
}

func (r *responder) serve(t *testing.T, h *netlab.Host, address string) {
	t.Helper()
	var l net.Listener
	ok(t, h.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		return err
	}))
	s := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
}

// With revocation = "strict", culvert accepts strongSwan's certificate by the OCSP responder that
// it names, and another culvert, which knows no responder, by the response that comes along. Once
// it is revoked, it is refused.
func TestOCSPOfPeers(t *testing.T) {
	t.Parallel()
	root := certtest.CA(t, "root", "p256", nil)
	named := func(name, url string) *certtest.Pair {
		leaf := certtest.Template(name, name+".example.com")
		leaf.OCSPServer = []string{url}
		return certtest.Sign(t, leaf, certtest.Key(t, "p256"), root)
	}
	strict := func(t *testing.T, g *gateway, own *certtest.Pair) string {
		own.Write(t, g.dir, "own")
		ok(t, os.WriteFile(filepath.Join(g.dir, "root.crt"), certtest.PEM(root.Cert), 0o644))
		return "cert = \"own.crt\"\nkey = \"own.key\"\nca = \"root.crt\"\nrevocation = \"strict\"\n"
	}
	t.Run("fetched from strongSwan's responder", func(t *testing.T) {
		t.Parallel()
		n := build(t, topology{})
		r := &responder{ca: root}
		r.serve(t, n.right, "192.0.2.2:8080")
		pki := &swanPKI{root: root, rightCA: root, right: named("right", "http://192.0.2.2:8080/ocsp")}
		n.swan(t, pki.swan(t))
		left := newGateway(t, n.left)
		left.start(peerText("right", "remote = \"192.0.2.2\"\nremote_id = \"right.example.com\"\n"+strict(t, left, root.Issue(t, "left", "p256", "left.example.com")), swanChildKeys+boot))
		left.waitUp("right")
		if r.asked.Load() != 1 {
			t.Errorf("the responder was asked %d times", r.asked.Load())
		}
		r.revoked.Store(true)
		left.stop()
		left.run() // what was fetched is kept for an hour otherwise
		left.wait(20*time.Second, "the reason", "right", func(p peerStatus) bool {
			return strings.Contains(p.Reason, "CN=right was revoked at ") && strings.Contains(p.Reason, "key compromise")
		})
	})
	t.Run("stapled between culverts", func(t *testing.T) {
		t.Parallel()
		n := build(t, topology{})
		r := &responder{ca: root}
		// The address is right's own LAN: nobody else can ask there, and left would not, as it is
		// behind the tunnel.
		r.serve(t, n.right, "10.2.0.1:8080")
		left, right := newGateway(t, n.left), newGateway(t, n.right)
		lefts := root.Issue(t, "left", "p256", "left.example.com")
		right.start(peerText("left", "local_id = \"right.example.com\"\nremote_id = \"left.example.com\"\n"+strings.Replace(strict(t, right, named("right", "http://10.2.0.1:8080/ocsp")), "strict", "off", 1), childText("v4", "10.2.0.0/16", "10.1.0.0/16", "")))
		right.wait(20*time.Second, "the response at hand", "left", func(peerStatus) bool { return r.asked.Load() > 0 })
		left.start(peerText("right", "remote = \"192.0.2.2\"\nremote_id = \"right.example.com\"\n"+strict(t, left, lefts), childText("v4", "10.1.0.0/16", "10.2.0.0/16", boot)))
		left.waitUp("right")
		n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
		if got := left.status().Counters["revocation_fetches"]; got != 0 || r.asked.Load() != 1 {
			t.Errorf("left fetched %d responses, and the responder was asked %d times", got, r.asked.Load())
		}
	})
}
