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

// pluto is libreswan in another system's folder, whose kernel carries the packets.
type pluto struct {
	t    *testing.T
	host *netlab.Host
	root string
	dir  string // within root

	children []protected
}

const plutoPrograms = "/usr/libexec/ipsec/"

// startPluto starts libreswan at right.
func (s *setting) startPluto(t *testing.T) rival {
	t.Helper()
	p := &pluto{t: t, host: s.n.right, root: peersRoot(t), children: s.children}
	dir, err := os.MkdirTemp(filepath.Join(p.root, "tmp"), "pluto-")
	ok(t, err, os.MkdirAll(filepath.Join(dir, "nss"), 0o700))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p.dir = strings.TrimPrefix(dir, p.root)
	ok(t, os.WriteFile(filepath.Join(dir, "ipsec.conf"), []byte(s.plutoConf(p.dir)), 0o600),
		os.WriteFile(filepath.Join(dir, "ipsec.secrets"), []byte(fmt.Sprintf("@right.example.com @left.example.com : PSK %q\n", psk)), 0o600))
	p.run("/usr/bin/certutil", "-N", "-d", "sql:"+p.dir+"/nss", "--empty-password")
	if s.pki != nil {
		p.load(s.pki)
	}
	command := netlab.InRoot(p.root, plutoPrograms+"pluto", "--nofork", "--config", p.dir+"/ipsec.conf", "--rundir", p.dir,
		"--secretsfile", p.dir+"/ipsec.secrets", "--nssdir", p.dir+"/nss", "--logfile", p.dir+"/log", "--no-dnssec")
	_, err = p.host.Start(nil, nil, command[0], command[1:]...)
	ok(t, err)
	t.Cleanup(func() {
		if text, _ := os.ReadFile(filepath.Join(dir, "log")); t.Failed() {
			t.Logf("log of libreswan:\n%s", indent(string(text)))
		}
	})
	s.kernelOnFailure(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ok(t, netlab.Until(ctx, "libreswan to answer", func() bool {
		_, err := p.try("whack", "--status")
		return err == nil
	}))
	for _, c := range s.children {
		p.run(plutoPrograms+"addconn", "--ctlsocket", p.dir+"/pluto.ctl", "--config", p.dir+"/ipsec.conf", c.name)
	}
	p.whack("--listen")
	return p
}

// plutoConf returns ipsec.conf: a connection for each child, which share the IKE SA.
func (s *setting) plutoConf(dir string) string {
	var b strings.Builder
	ddos := "auto"
	if s.cell.Feature == interop.Cookies {
		ddos = "busy"
	}
	fmt.Fprintf(&b, "config setup\n  ddos-mode=%s\n  uniqueids=yes\n", ddos)
	for _, c := range s.children {
		fmt.Fprintf(&b, "\nconn %s\n", c.name)
		for _, l := range s.plutoConnection(c) {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	return b.String()
}

func (s *setting) plutoConnection(c protected) []string {
	own, theirs, auth := "192.0.2.2", s.left, "secret"
	if s.cell.Outer == interop.IPv6 {
		own = "2001:db8::2"
	}
	if s.cell.Initiator == interop.Culvert {
		theirs = "%any"
	}
	lines := []string{
		"left=" + own, "right=" + theirs, "leftid=@right.example.com", "rightid=@left.example.com",
		"leftupdown=%disabled", "keyexchange=ikev2", "auto=ignore", "mobike=no",
	}
	if s.cell.Feature == interop.Transport {
		lines = append(lines, "type=transport")
	} else {
		lines = append(lines, "leftsubnet="+c.remote, "rightsubnet="+c.local)
	}
	if c.port != 0 {
		lines = append(lines, fmt.Sprintf("leftprotoport=17/%d", c.port), "rightprotoport=17/%any")
	}
	if s.pki != nil {
		auth = map[string]string{interop.RSA: "rsa-sha2", interop.ECDSA: "ecdsa"}[s.cell.Auth]
		lines = append(lines, "leftcert=right", "leftsendcert=always", "sendca=issuer", "rightca=%any")
	}
	lines = append(lines, "authby="+auth, fmt.Sprintf("salifetime=%d", int(childHard.Seconds())), "rekeyfuzz=0%")
	if s.cell.Rekeys == interop.Them || s.reauthenticates() {
		// The IKE SA follows its hard limit by the same margin as the Child SA.
		lines = append(lines, "rekey=yes", fmt.Sprintf("rekeymargin=%d", int((childHard-childSoft).Seconds())), fmt.Sprintf("ikelifetime=%d", int((ikeSoft+childHard-childSoft).Seconds())))
	} else {
		lines = append(lines, "rekey=no", "ikelifetime=1h")
	}
	return append(lines, s.plutoFeature()...)
}

func (s *setting) plutoFeature() []string {
	switch s.cell.Feature {
	case interop.Fragments:
		return []string{"fragmentation=yes"}
	case interop.Cookies:
		if s.cell.Initiator == interop.Them {
			return []string{"ike=aes_gcm128-sha2_256-dh15"}
		}
	case interop.PFSByThem, interop.PFSByBoth:
		return []string{"pfs=yes"}
	case interop.ReauthThe:
		return []string{"reauth=yes"}
	}
	return nil
}

// load gives libreswan its certificate, with the authority that it sends beside it, and the root.
func (p *pluto) load(pki *swanPKI) {
	p.t.Helper()
	dir := filepath.Join(p.root, p.dir)
	ok(p.t, os.WriteFile(filepath.Join(dir, "key"), certtest.KeyPEM(p.t, pki.right.Key), 0o600),
		os.WriteFile(filepath.Join(dir, "crt"), certtest.PEM(pki.right.Cert), 0o600),
		os.WriteFile(filepath.Join(dir, "ca"), certtest.PEM(pki.rightCA.Cert), 0o600),
		os.WriteFile(filepath.Join(dir, "root"), certtest.PEM(pki.root.Cert), 0o600))
	p.run("/usr/bin/openssl", "pkcs12", "-export", "-inkey", p.dir+"/key", "-in", p.dir+"/crt", "-certfile", p.dir+"/ca", "-name", "right", "-passout", "pass:x", "-out", p.dir+"/p12")
	p.run("/usr/bin/pk12util", "-i", p.dir+"/p12", "-d", "sql:"+p.dir+"/nss", "-W", "x", "-K", "")
	p.run("/usr/bin/certutil", "-A", "-d", "sql:"+p.dir+"/nss", "-n", "root", "-t", "CT,,", "-a", "-i", p.dir+"/root")
}

// try runs a program of libreswan.
func (p *pluto) try(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	if program == "whack" {
		program, args = plutoPrograms+"whack", append([]string{"--rundir", p.dir}, args...)
	}
	command := netlab.InRoot(p.root, program, args...)
	return p.host.Run(ctx, nil, command[0], command[1:]...)
}

func (p *pluto) run(program string, args ...string) string {
	p.t.Helper()
	out, err := p.try(program, args...)
	ok(p.t, err)
	return out
}

func (p *pluto) whack(args ...string) string {
	p.t.Helper()
	return p.run("whack", args...)
}

func (p *pluto) version() string {
	out, _ := p.try(plutoPrograms+"pluto", "--version")
	first, _, _ := strings.Cut(out, " IKE") // which what it was built with follows
	return strings.TrimSpace(first)
}

func (p *pluto) initiate(child string) { p.whack("--name", child, "--initiate") }

// terminate ends all children, since one that is to remain up would be connected again, and the IKE
// SA, which stays without children if it has had several.
func (p *pluto) terminate() {
	for _, c := range p.children {
		p.whack("--name", c.name, "--terminate")
	}
	if len(p.children) > 1 {
		p.whack("--name", p.children[0].name, "--delete-ike")
	}
}

func (p *pluto) connected() bool {
	return strings.Contains(p.whack("--trafficstatus"), "type=ESP")
}
