package config

import (
	"culvert/internal/keyfile"
	"culvert/internal/revocation"
)

// revocation reads revocation and crl.
func (s section) revocation() (mode Revocation, crls []*revocation.CRL) {
	mode = []Revocation{RevocationRelaxed, RevocationStrict, RevocationOff}[s.word("revocation", "relaxed", "strict", "off")]
	for _, key := range []string{"revocation", "crl"} {
		if s.has(key) && !s.has("ca") {
			s.fail(key, "%s has no effect without ca: only certificates can be revoked; remove it", key)
		}
	}
	if mode == RevocationOff && s.has("crl") {
		s.fail("crl", "crl has no effect with revocation = \"off\"; remove one of them")
	}
	for _, e := range s.entries("crl") {
		got, err := s.file.credentials.loadCRLs(s.filePath(e.text))
		if err != nil {
			s.fail(e.at, "crl: %v", err)
		}
		crls = append(crls, got...)
	}
	return mode, crls
}

// staple reads staple, and reports whether OCSP responses are sent.
func (s section) staple() bool {
	on := s.word("staple", "auto", "off") == 0
	if s.has("staple") && !s.has("cert") {
		s.fail("staple", "staple has no effect without cert: OCSP responses are for certificates; remove it")
	}
	return on
}

// loadCRLs reads the CRLs of a file.
func (c *credentials) loadCRLs(path string) ([]*revocation.CRL, error) {
	if list, ok := c.crls[path]; ok {
		return list, nil
	}
	list, err := keyfile.LoadCRLs(path)
	if err == nil {
		c.crls[path] = list
	}
	return list, err
}
