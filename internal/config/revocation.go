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

// staple reads staple and ocsp: whether OCSP responses are sent, and those from files.
func (s section) staple() (on bool, responses [][]byte) {
	on = s.word("staple", "auto", "off") == 0
	for _, key := range []string{"staple", "ocsp"} {
		if s.has(key) && !s.has("cert") {
			s.fail(key, "%s has no effect without cert: OCSP responses are for certificates; remove it", key)
		}
	}
	if !on && s.has("ocsp") {
		s.fail("ocsp", "ocsp has no effect with staple = \"off\"; remove one of them")
	}
	for _, e := range s.entries("ocsp") {
		got, err := keyfile.LoadOCSP(s.filePath(e.text))
		if err != nil {
			s.fail(e.at, "ocsp: %v", err)
		}
		responses = append(responses, got...)
	}
	return on, responses
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
