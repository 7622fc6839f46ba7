package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"culvert/internal/netlab"
)

// OpenVPN is the openvpn on the PATH: point to point, UDP, TLS, no data-channel offload.
type OpenVPN struct{}

// Name returns the subject's name.
func (OpenVPN) Name() string { return "OpenVPN, no DCO" }

// openVPNMTU is the inner MTU that fits an outer MTU of 1500 over IPv4, less 20 (IPv4), 8 (UDP) and
// 24 octets (opcode and peer, packet number, tag).
const openVPNMTU = 1500 - 20 - 8 - 24

// Version returns the program's version and the settings that matter.
func (OpenVPN) Version(ctx context.Context) (string, error) {
	if _, err := installed("", "openvpn"); err != nil {
		return "", err
	}
	version, err := firstLine(ctx, "openvpn", "--version")
	return fmt.Sprintf("%.14s; AES-128-GCM; MTU %d", version, openVPNMTU), err
}

// Start starts both ends, the server first.
func (OpenVPN) Start(ctx context.Context, s Site) ([]*netlab.Process, error) {
	if err := writePKI(s.Dir, "left", "right"); err != nil {
		return nil, err
	}
	var procs []*netlab.Process
	for _, g := range []struct {
		host                         *netlab.Host
		me, inner, outer, far, route string
		role                         []string
	}{
		{s.Right, "right", "10.255.0.2", "192.0.2.2", "10.255.0.1", "10.1.0.0", []string{"--tls-server", "--dh", "none"}},
		{s.Left, "left", "10.255.0.1", "192.0.2.1", "10.255.0.2", "10.2.0.0", []string{"--tls-client", "--remote", "192.0.2.2"}},
	} {
		p, err := g.host.Start(nil, nil, "openvpn", append(g.role, "--disable-dco", "--dev", "ovpn0", "--dev-type", "tun", "--proto", "udp4", "--local", g.outer,
			"--ifconfig", g.inner, g.far, "--route", g.route, "255.255.0.0", "--tun-mtu", fmt.Sprint(openVPNMTU), "--mssfix", "0",
			"--data-ciphers", "AES-128-GCM", "--cipher", "AES-128-GCM",
			// Recommended by its manual for speed: no poll before each write. The buffers are as
			// large as those of its rivals.
			"--fast-io", "--sndbuf", "4194304", "--rcvbuf", "4194304", "--txqueuelen", "1000",
			"--ca", filepath.Join(s.Dir, "ca.pem"), "--cert", filepath.Join(s.Dir, g.me+".pem"), "--key", filepath.Join(s.Dir, g.me+".key"))...)
		if err != nil {
			return procs, err
		}
		procs = append(procs, p)
		if err := netlab.Until(ctx, "OpenVPN's socket", func() bool { return strings.Contains(p.Output(), "link local (bound)") }); err != nil {
			return procs, err
		}
	}
	return procs, nil
}

// installed returns the path of a program: given, or where it is empty, the name on the PATH.
func installed(given, name string) (string, error) {
	if given != "" {
		return given, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed", name)
	}
	return path, nil
}

// writePKI writes a certification authority's certificate to ca.pem, and for each name a
// certificate and its key to NAME.pem and NAME.key.
func writePKI(dir string, names ...string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	}
	ca := template(1, "benchmark")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	if err := writeCertificate(filepath.Join(dir, "ca.pem"), ca, ca, caKey, caKey); err != nil {
		return err
	}
	for i, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		cert := template(int64(i)+2, name)
		cert.KeyUsage, cert.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := errors.Join(writePEM(filepath.Join(dir, name+".key"), "PRIVATE KEY", der), writeCertificate(filepath.Join(dir, name+".pem"), cert, ca, key, caKey)); err != nil {
			return err
		}
	}
	return nil
}

func writeCertificate(path string, cert, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return err
	}
	return writePEM(path, "CERTIFICATE", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
