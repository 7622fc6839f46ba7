//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/internal/certtest"
	"culvert/internal/interop"
	"culvert/internal/netlab"
)

// iked is OpenIKED in another system's folder, whose kernel carries the packets. Its keys and
// certificates are in that system's /etc/iked, so that one runs at a time.
type iked struct {
	t    *testing.T
	host *netlab.Host
	root string
	dir  string // within root
	proc *netlab.Process
}

// startIked starts OpenIKED at right.
func (s *setting) startIked(t *testing.T) rival {
	t.Helper()
	p := &iked{t: t, host: s.n.right, root: peersRoot(t)}
	dir, err := os.MkdirTemp(filepath.Join(p.root, "tmp"), "iked-")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p.dir = strings.TrimPrefix(dir, p.root)
	ok(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(s.ikedConf()), 0o600))
	p.load(s.pki)
	// It connects what is to be active once it is told to be.
	command := netlab.InRoot(p.root, "iked", "-d", "-v", "-S", "-f", p.dir+"/conf", "-s", p.dir+"/sock")
	p.proc, err = p.host.Start(nil, nil, command[0], command[1:]...)
	ok(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of OpenIKED:\n%s", indent(p.proc.Output()))
		}
	})
	s.kernelOnFailure(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ok(t, netlab.Until(ctx, "OpenIKED to answer", func() bool {
		select {
		case <-p.proc.Done():
			t.Fatalf("OpenIKED ended at once:\n%s", p.proc.Output())
		default:
		}
		_, err := p.try(ctx, "show", "sa")
		return err == nil
	}))
	return p
}

// ikedConf returns iked.conf: one policy, which is one Child SA.
func (s *setting) ikedConf() string {
	own, theirs, active := s.outer().right, s.left, "active"
	if s.cell.Initiator == interop.Culvert {
		theirs, active = "any", "passive"
	}
	var b strings.Builder
	b.WriteString("set nomobike\n")
	if s.cell.Feature == interop.Fragments {
		b.WriteString("set fragmentation\n")
	}
	mode := "tunnel"
	if s.cell.Feature == interop.Transport {
		mode = "transport"
	}
	c := s.children[0]
	fmt.Fprintf(&b, "ikev2 \"culvert\" %s %s esp from %s to %s local %s peer %s", active, mode, c.remote, c.local, own, theirs)
	for _, words := range append(s.ikedProposals(), "srcid right.example.com dstid left.example.com", s.ikedLifetimes()) {
		fmt.Fprintf(&b, " \\\n  %s", words)
	}
	if s.pki == nil {
		fmt.Fprintf(&b, " \\\n  psk %q", psk)
	}
	return b.String() + "\n"
}

// ikedLifetimes has the Child SA rekeyed after 0.85 to 0.95 of its lifetime, in whole seconds, and
// the IKE SA after 0.85. 0 is neither: it has no hard limit without a rekeying.
func (s *setting) ikedLifetimes() string {
	if s.cell.Rekeys == interop.Them {
		return fmt.Sprintf("ikelifetime %d lifetime %d", int((childHard + 2*time.Second).Seconds()), int(childHard.Seconds()))
	}
	return "ikelifetime 0 lifetime 0"
}

func (s *setting) ikedProposals() []string {
	const child = "childsa enc aes-256 auth hmac-sha2-512 noesn "
	switch s.cell.Feature {
	case interop.Cookies:
		return []string{"ikesa enc aes-128-gcm prf hmac-sha2-256 group modp3072"}
	case interop.PFSByUs:
		return []string{child + "group curve25519 group none"}
	case interop.PFSByThem:
		return []string{child + "group ecp256"}
	case interop.PFSByBoth:
		return []string{child + "group curve25519"}
	}
	return nil
}

// load gives it its certificate with the authority that it sends beside it, and the root, or takes
// those of another cell away.
func (p *iked) load(pki *swanPKI) {
	p.t.Helper()
	at := filepath.Join(p.root, "etc/iked")
	ok(p.t, os.RemoveAll(at))
	for _, dir := range []string{"ca", "certs", "crls", "private", "pubkeys/ipv4", "pubkeys/ipv6", "pubkeys/fqdn", "pubkeys/ufqdn"} {
		ok(p.t, os.MkdirAll(filepath.Join(at, dir), 0o755))
	}
	if pki == nil { // it does not start without any key
		ok(p.t, os.WriteFile(filepath.Join(at, "private/local.key"), certtest.KeyPEM(p.t, certtest.Key(p.t, "p256")), 0o600))
		return
	}
	ok(p.t, os.WriteFile(filepath.Join(at, "private/local.key"), certtest.KeyPEM(p.t, pki.right.Key), 0o600),
		os.WriteFile(filepath.Join(at, "certs/right.crt"), certtest.PEM(pki.right.Cert), 0o644),
		os.WriteFile(filepath.Join(at, "ca/right-ca.crt"), certtest.PEM(pki.rightCA.Cert), 0o644),
		os.WriteFile(filepath.Join(at, "ca/root.crt"), certtest.PEM(pki.root.Cert), 0o644))
}

// try runs ikectl.
func (p *iked) try(ctx context.Context, args ...string) (string, error) {
	command := netlab.InRoot(p.root, "ikectl", append([]string{"-s", p.dir + "/sock"}, args...)...)
	return p.host.Run(ctx, nil, command[0], command[1:]...)
}

func (p *iked) ctl(args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	out, err := p.try(ctx, args...)
	ok(p.t, err)
	return out
}

func (p *iked) version() string {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	command := netlab.InRoot(p.root, "iked", "-V")
	out, _ := p.host.Run(ctx, nil, command[0], command[1:]...)
	return strings.TrimSpace(out)
}

func (p *iked) initiate(string) { p.ctl("active") }

func (p *iked) terminate() { p.ctl("reset", "id", "FQDN/left.example.com") }

func (p *iked) connected() bool { return strings.Contains(p.ctl("show", "sa"), "ESTABLISHED") }
