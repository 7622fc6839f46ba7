package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"culvert/ike/certificate"
	"culvert/internal/certtest"
)

// withKeys returns a folder with the files of two CAs and of a certificate:
//
//	ca.crt ca.key  other.crt other.key  left.crt left.key
//	left.pem       the certificate and its key
//	left.p12       likewise, with the password that stands in the file password
//	ca.crl         a revocation list
//	right.pub bare.key  a public key, and a private one without a certificate
func withKeys(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca := certtest.CA(t, "ca", "p256", nil)
	other := certtest.CA(t, "other", "p384", nil)
	left := ca.Issue(t, "left", "p256", "left.example.com", "192.0.2.1")
	for name, p := range map[string]*certtest.Pair{"ca": ca, "other": other, "left": left} {
		p.Write(t, dir, name)
	}
	p12, err := pkcs12.Modern2023.WithIterations(1).Encode(left.Key, left.Cert, nil, "secret of left")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"left.p12": p12, "left.pem": append(certtest.PEM(left.Cert), certtest.KeyPEM(t, left.Key)...), "password": []byte("secret of left\n"),
		"right.pub": certtest.PublicPEM(t, certtest.Key(t, "ed25519").Public()), "bare.key": certtest.KeyPEM(t, certtest.Key(t, "ed25519")),
		"ca.crl": crlOf(t, time.Now().Add(time.Hour)), "left.ocsp": ocspOf(t, ca, left),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// keyed returns good with these lines in place of its psk.
func keyed(lines string) string {
	return edit(good, "psk = \"correct horse battery staple\"\n", lines)
}

// loadIn loads a document that stands in a folder.
func loadIn(t *testing.T, dir, doc string) (*Config, error) {
	t.Helper()
	path := filepath.Join(dir, "a.toml")
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestCertificates(t *testing.T) {
	dir := withKeys(t)
	for name, c := range map[string]struct {
		lines           string
		own, chain      int // keys, and certificates of the first
		trusted, pinned int
		psk             bool
	}{
		"files":            {"cert = \"left.crt\"\nkey = \"left.key\"\nca = \"ca.crt\"\n", 1, 1, 1, 0, false},
		"absolute paths":   {"cert = \"" + dir + "/left.crt\"\nkey = \"" + dir + "/left.key\"\nca = [\"" + dir + "/ca.crt\"]\n", 1, 1, 1, 0, false},
		"one file":         {"cert = \"left.pem\"\nca = [\"ca.crt\", \"other.crt\"]\n", 1, 1, 2, 0, false},
		"PKCS#12":          {"cert = \"left.p12\"\nkey_password = \"secret of left\"\nca = \"ca.crt\"\n", 1, 1, 1, 0, false},
		"password file":    {"cert = \"left.p12\"\nkey_password_file = \"password\"\nca = \"ca.crt\"\n", 1, 1, 1, 0, false},
		"two certificates": {"cert = [\"left.crt\", \"other.crt\"]\nkey = [\"left.key\", \"other.key\"]\nca = \"ca.crt\"\n", 2, 1, 1, 0, false},
		"bare keys":        {"key = \"bare.key\"\nremote_key = \"right.pub\"\n", 1, 0, 0, 1, false},
		"CA or key":        {"cert = \"left.pem\"\nca = \"ca.crt\"\nremote_key = [\"right.pub\", \"right.pub\"]\n", 1, 1, 1, 2, false},
		"peer by psk":      {"cert = \"left.pem\"\npsk = \"correct horse battery staple\"\n", 1, 1, 0, 0, true},
		"we by psk":        {"ca = \"ca.crt\"\npsk = \"correct horse battery staple\"\n", 0, 0, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := loadIn(t, dir, keyed(c.lines))
			if err != nil {
				t.Fatal(err)
			}
			got := cfg.Peers[0].Certificates
			if len(got.Own) != c.own || len(got.Trust.Authorities()) != c.trusted || len(got.RemoteKeys) != c.pinned || (len(cfg.Peers[0].PSK) > 0) != c.psk {
				t.Fatalf("%d own, %d trusted, %d pinned", len(got.Own), len(got.Trust.Authorities()), len(got.RemoteKeys))
			}
			if c.own > 0 && (len(got.Own[0].Chain) != c.chain || got.Own[0].Signer == nil) {
				t.Errorf("the chain has %d certificates, the key is %T", len(got.Own[0].Chain), got.Own[0].Signer)
			}
		})
	}
	if cfg := mustLoad(t, good); cfg.Peers[0].Certificates != nil {
		t.Error("a peer with a secret has certificates")
	}
}

func TestSignaturePreferences(t *testing.T) {
	dir := withKeys(t)
	const certs = "cert = \"left.pem\"\nca = \"ca.crt\"\n"
	for lines, want := range map[string]certificate.Preferences{
		"": {}, "rsa_padding = \"pss\"\nrsa_sha1 = \"refuse\"\n": {},
		"rsa_padding = \"pkcs1\"\n": {PKCS1: true}, "rsa_sha1 = \"allow\"\n": {SHA1: true},
	} {
		cfg, err := loadIn(t, dir, keyed(certs+lines))
		if err != nil || cfg.Peers[0].Certificates.Preferences != want {
			t.Errorf("%q: %v, want %+v", lines, err, want)
		}
	}
	_, err := loadIn(t, dir, keyed("psk = \"correct horse battery staple\"\nrsa_sha1 = \"allow\"\n"))
	if got := texts(err); len(got) != 1 || !strings.Contains(got[0], "rsa_sha1 has no effect without certificates or keys; remove it") {
		t.Errorf("without certificates: %q", got)
	}
}

func TestRemoteEKU(t *testing.T) {
	dir := withKeys(t)
	for word, want := range map[string]certificate.Purpose{"": certificate.AnyPurpose, "any": certificate.AnyPurpose, "ike": certificate.IKE, "server": certificate.Server, "client": certificate.Client} {
		line := ""
		if word != "" {
			line = "remote_eku = \"" + word + "\"\n"
		}
		cfg, err := loadIn(t, dir, keyed("cert = \"left.pem\"\nca = \"ca.crt\"\n"+line))
		if err != nil || cfg.Peers[0].Certificates.Purpose != want || word != "" && want.String() != word {
			t.Errorf("%q: %v, want %v", word, err, want)
		}
	}
}

func TestBadCertificates(t *testing.T) {
	dir := withKeys(t)
	for name, c := range map[string]struct {
		lines string
		want  string // a part of the one error
	}{
		"no file":             {"cert = \"none.crt\"\nkey = \"left.key\"\nca = \"ca.crt\"\n", `a.toml:7: peer "right": key: ` + dir + `/none.crt: no such file`},
		"no key":              {"cert = \"left.crt\"\nca = \"ca.crt\"\n", `a.toml:6: peer "right": cert: ` + dir + `/left.crt: holds a certificate, not a private key`},
		"another key":         {"cert = \"left.crt\"\nkey = \"other.key\"\nca = \"ca.crt\"\n", `a.toml:7: peer "right": key: ` + dir + `/left.crt holds the certificate of`},
		"counts":              {"cert = [\"left.crt\"]\nkey = [\"left.key\", \"other.key\"]\nca = \"ca.crt\"\n", `a.toml:7: peer "right": cert names 1 files and key 2; give one key for each certificate`},
		"no password":         {"cert = \"left.p12\"\nca = \"ca.crt\"\n", `left.p12: needs a password; set key_password_file, or key_password`},
		"two passwords":       {"cert = \"left.p12\"\nkey_password = \"secret of left\"\nkey_password_file = \"password\"\nca = \"ca.crt\"\n", `key_password and key_password_file are both set; remove one of them`},
		"idle password":       {"psk = \"correct horse battery staple\"\nkey_password = \"x\"\n", `key_password is set without cert or key; remove it`},
		"leaf as CA":          {"cert = \"left.pem\"\nca = \"left.crt\"\n", `a.toml:7: peer "right": ca: ` + dir + `/left.crt: the certificate of`},
		"second CA":           {"cert = \"left.pem\"\nca = [\"ca.crt\",\n\"left.key\"]\n", `a.toml:8: peer "right": ca: ` + dir + `/left.key: holds a private key`},
		"empty":               {"cert = \"left.pem\"\nca = []\n", `a.toml:7: peer "right": ca is empty; list at least one file, or omit it`},
		"empty name":          {"cert = \"left.pem\"\nca = \"\"\n", `a.toml:7: peer "right": ca is empty; give the name of a file`},
		"certificate":         {"cert = \"left.pem\"\nremote_key = \"ca.crt\"\n", `remote_key: ` + dir + `/ca.crt: holds a certificate, not a public key`},
		"too many pinned":     {"cert = \"left.pem\"\nremote_key = [" + strings.Repeat("\"right.pub\", ", maxRemoteKeys+1) + "]\n", `remote_key names 17 files; use at most 16`},
		"too many own":        {"cert = [" + strings.Repeat("\"left.pem\", ", maxOwnKeys+1) + "]\nca = \"ca.crt\"\n", `the peer has 9 keys of ours; use at most 8`},
		"no such EKU":         {"cert = \"left.pem\"\nca = \"ca.crt\"\nremote_eku = \"tls\"\n", `remote_eku = "tls"`},
		"EKU of a key":        {"cert = \"left.pem\"\nremote_key = \"right.pub\"\nremote_eku = \"ike\"\n", `a.toml:8: peer "right": remote_eku has no effect without ca: only certificates have an extended key usage; remove it`},
		"EKU of a secret":     {"psk = \"correct horse battery staple\"\nremote_eku = \"ike\"\n", `remote_eku has no effect without ca`},
		"peer proves nothing": {"cert = \"left.pem\"\n", `nothing says how the peer proves itself; set ca to the CA of its certificate, remote_key to its public key, or psk`},
		"we prove nothing":    {"ca = \"ca.crt\"\n", `nothing says how this side proves itself; set cert and key, or psk`},
		"psk as well":         {"cert = \"left.pem\"\nca = \"ca.crt\"\npsk = \"correct horse battery staple\"\n", `a.toml:8: peer "right": psk has no effect, as both sides prove themselves by certificates or keys; remove it`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadIn(t, dir, keyed(c.lines))
			if got := texts(err); len(got) != 1 || !strings.Contains(got[0], c.want) {
				t.Errorf("got  %q\nwant %s", got, c.want)
			}
		})
	}
}

// A key that others may read, and a password in a file that others may read, are refused.
func TestExposedCertificates(t *testing.T) {
	dir := withKeys(t)
	if err := os.Chmod(filepath.Join(dir, "left.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := loadIn(t, dir, keyed("cert = \"left.crt\"\nkey = \"left.key\"\nca = \"ca.crt\"\n"))
	if got := texts(err); len(got) != 1 || !strings.HasSuffix(got[0], "has mode 0644; run chmod 600 "+filepath.Join(dir, "left.key")) {
		t.Errorf("got %q", got)
	}
	path := filepath.Join(dir, "b.toml")
	if err := os.WriteFile(path, []byte(keyed("cert = \"left.p12\"\nkey_password = \"secret of left\"\nca = \"ca.crt\"\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Load(path)
	if got := texts(err); len(got) != 1 || !strings.Contains(got[0], "this file contains secrets and must be readable by its owner only") {
		t.Errorf("got %q", got)
	}
}

// local_id is by default what the certificate says first. One that it does not say is warned of.
func TestIdentityOfCertificate(t *testing.T) {
	dir := withKeys(t)
	const lines = "cert = \"left.pem\"\nca = \"ca.crt\"\n"
	for local, warned := range map[string]bool{"": false, "left.example.com": false, "192.0.2.1": false, "LEFT.example.com": false, "other.example.com": true} {
		line := ""
		if local != "" {
			line = "local_id = \"" + local + "\"\n"
		}
		cfg, err := loadIn(t, dir, edit(keyed(lines), "local_id = \"left.example.com\"\n", line))
		if err != nil {
			t.Fatal(err)
		}
		want := local
		if want == "" {
			want = "left.example.com"
		}
		if got := cfg.Peers[0].LocalID.String(); got != want {
			t.Errorf("%q: the identity is %s", local, got)
		}
		if n := len(cfg.Warnings); (n == 1) != warned || warned && !strings.Contains(cfg.Warnings[0].Error(), ":4: peer \"right\": local_id: our certificate ") {
			t.Errorf("%q: %v", local, cfg.Warnings)
		}
	}
}

// Peers that are alike but for their CAs or keys are told apart by these; many peers share what was
// read.
func TestPeersToldApartByCertificate(t *testing.T) {
	dir := withKeys(t)
	two := func(first, second string) string {
		doc := keyed("cert = \"left.pem\"\n" + first)
		return doc + strings.NewReplacer(`"right"`, `"right2"`, "10.2.0.0", "10.3.0.0", first, second).Replace(doc)
	}
	cfg, err := loadIn(t, dir, two("ca = \"ca.crt\"\n", "ca = \"other.crt\"\n"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	if a, b := cfg.Peers[0].Certificates.Own[0], cfg.Peers[1].Certificates.Own[0]; a.Chain[0] != b.Chain[0] {
		t.Error("the certificate was read twice")
	}
	for _, keys := range []string{"ca = \"ca.crt\"\n", "remote_key = \"right.pub\"\n"} {
		_, err = loadIn(t, dir, two(keys, keys))
		if got := texts(err); len(got) != 1 || !strings.Contains(got[0], "remote, local_id, remote_id and ca or remote_key are those of the peer at") {
			t.Errorf("got %q", got)
		}
	}
}
