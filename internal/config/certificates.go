package config

import (
	"crypto"
	"crypto/x509"
	"path/filepath"
	"strings"

	"culvert/ike"
	"culvert/ike/certificate"
	"culvert/internal/keyfile"
	"culvert/internal/revocation"
)

// Bounds of the lists of files of a peer.
const (
	maxOwnKeys    = 8
	maxRemoteKeys = 16
)

// credentials holds what was read from key and certificate files, by the names of the files: many
// peers may have the same.
type credentials struct {
	own    map[[3]string]ike.OwnKey
	trusts map[string]*certificate.Trust
	crls   map[string][]*revocation.CRL
}

func newCredentials() credentials {
	return credentials{own: make(map[[3]string]ike.OwnKey), trusts: make(map[string]*certificate.Trust), crls: make(map[string][]*revocation.CRL)}
}

// certificates reads the keys and certificates of both sides. The result is nil without any.
func (s section) certificates() *ike.Certificates {
	c := &ike.Certificates{Own: s.ownKeys(), Trust: s.trust(), RemoteKeys: s.remoteKeys()}
	c.Purpose = s.purpose()
	c.PKCS1 = s.word("rsa_padding", "pss", "pkcs1") == 1
	c.SHA1 = s.word("rsa_sha1", "refuse", "allow") == 1
	if len(c.Own) > 0 || c.Trust != nil || len(c.RemoteKeys) > 0 {
		return c
	}
	for _, key := range []string{"rsa_padding", "rsa_sha1"} {
		if s.has(key) {
			s.fail(key, "%s has no effect without certificates or keys; remove it", key)
		}
	}
	return nil
}

// purpose reads remote_eku.
func (s section) purpose() certificate.Purpose {
	p := []certificate.Purpose{certificate.AnyPurpose, certificate.IKE, certificate.Server, certificate.Client}[s.word("remote_eku", "any", "ike", "server", "client")]
	if s.has("remote_eku") && !s.has("ca") {
		s.fail("remote_eku", "remote_eku has no effect without ca: only certificates have an extended key usage; remove it")
	}
	return p
}

// ownKeys reads cert and key: a key for each certificate, or the certificates' files hold the keys,
// or there are keys alone.
func (s section) ownKeys() (out []ike.OwnKey) {
	certs, keys := s.entries("cert"), s.entries("key")
	if len(certs) > 0 && len(keys) > 0 && len(certs) != len(keys) {
		s.fail("key", "cert names %d files and key %d; give one key for each certificate, in the same order, or omit key if the files of cert hold the keys", len(certs), len(keys))
		return nil
	}
	password := s.keyPassword()
	for i := range max(len(certs), len(keys)) {
		var cert, key element
		if len(certs) > 0 {
			cert = certs[i]
		}
		if len(keys) > 0 {
			key = keys[i]
		}
		own, err := s.file.credentials.load(s.filePath(cert.text), s.filePath(key.text), password)
		if err != nil {
			at, name := key.at, "key"
			if at == "" {
				at, name = cert.at, "cert"
			}
			s.fail(at, "%s: %v", name, err)
			continue
		}
		out = append(out, own)
	}
	if len(out) > maxOwnKeys {
		s.fail("cert", "the peer has %d keys of ours; use at most %d", len(out), maxOwnKeys)
	}
	return out
}

// load reads a certificate with its key, or if cert is empty a key alone.
func (c *credentials) load(cert, key, password string) (ike.OwnKey, error) {
	name := [3]string{cert, key, password}
	if own, ok := c.own[name]; ok {
		return own, nil
	}
	var own ike.OwnKey
	if cert == "" {
		signer, err := keyfile.LoadPrivateKey(key, password)
		if err != nil {
			return own, err
		}
		own.Signer = signer
	} else {
		pair, err := keyfile.LoadPair(cert, key, password)
		if err != nil {
			return own, err
		}
		own.Signer, own.Chain = pair.Key, pair.Chain
	}
	c.own[name] = own
	return own, nil
}

// trust reads ca.
func (s section) trust() *certificate.Trust {
	list := s.entries("ca")
	if len(list) == 0 {
		return nil
	}
	var paths []string
	for _, e := range list {
		paths = append(paths, s.filePath(e.text))
	}
	name := strings.Join(paths, "\x00")
	if t, ok := s.file.credentials.trusts[name]; ok {
		return t
	}
	var cas []*x509.Certificate
	for i, path := range paths {
		got, err := keyfile.LoadCAs(path)
		if err != nil {
			s.fail(list[i].at, "ca: %v", err)
			continue
		}
		cas = append(cas, got...)
	}
	t := certificate.NewTrust(cas)
	s.file.credentials.trusts[name] = t
	return t
}

// remoteKeys reads remote_key.
func (s section) remoteKeys() (out []crypto.PublicKey) {
	list := s.entries("remote_key")
	if len(list) > maxRemoteKeys {
		s.fail("remote_key", "remote_key names %d files; use at most %d", len(list), maxRemoteKeys)
	}
	for _, e := range list[:min(len(list), maxRemoteKeys)] {
		key, err := keyfile.LoadPublicKey(s.filePath(e.text))
		if err != nil {
			s.fail(e.at, "remote_key: %v", err)
			continue
		}
		out = append(out, key)
	}
	return out
}

// entries returns the names of files that a key has, which is a text or a list of texts. Empty ones
// are errors.
func (s section) entries(name string) []element {
	return s.entriesOf(name, "give the name of a file", "list at least one file, or omit it")
}

// entriesOf returns the values of a key that is a text or a list of texts. Empty ones are errors
// with one remedy, and an empty list with another.
func (s section) entriesOf(name, remedy, remedyOfList string) (out []element) {
	list := s.list(name)
	if text, ok := s.values[name].(string); ok {
		list = []element{{text, name}}
	}
	for _, e := range list {
		if e.text == "" {
			s.fail(e.at, "%s is empty; %s", name, remedy)
			continue
		}
		out = append(out, e)
	}
	if s.has(name) && len(list) == 0 {
		s.fail(name, "%s is empty; %s", name, remedyOfList)
	}
	return out
}

// filePath returns the path of a file that the configuration names, relative to its own folder; ""
// for no file.
func (s section) filePath(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(s.file.path), name)
}

// keyPassword reads key_password or key_password_file.
func (s section) keyPassword() string {
	inline, inFile := s.has("key_password"), s.has("key_password_file")
	if (inline || inFile) && !s.has("cert") && !s.has("key") {
		s.fail("", "key_password is set without cert or key; remove it")
	}
	if inline && inFile {
		s.fail("key_password_file", "key_password and key_password_file are both set; remove one of them")
	}
	switch {
	case inline:
		s.checkPrivate("key_password")
		return s.text("key_password", "")
	case inFile:
		text, _ := s.secretFile("key_password_file")
		return text
	}
	return ""
}

// checkOwnIdentity warns of a certificate that is not for local_id: the peer will not accept it.
func (s section) checkOwnIdentity(p *Peer) {
	if p.Certificates == nil || !s.has("local_id") || p.LocalID.IsPattern() {
		return
	}
	for _, own := range p.Certificates.Own {
		if len(own.Chain) == 0 {
			continue
		}
		if err := certificate.Match(own.Chain[0], p.LocalID); err != nil {
			s.file.warn(s.line("local_id"), "%slocal_id: %s", s.where, strings.Replace(err.Error(), "its certificate", "our certificate", 1))
		}
	}
}
