package certificate

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// Name constraints (RFC 5280, Section 4.2.1.10) on names, mail addresses, IP addresses and URIs are
// judged by package x509. It does not judge those on distinguished names: it takes a critical
// extension with any for one that is not supported, and skips those of others. So they are judged
// here, and an extension that is understood is taken off the unsupported ones.

var (
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// The general names that constraints may be on (RFC 5280, Section 4.2.1.6).
const (
	rfc822Name    = 1
	dnsName       = 2
	directoryName = 4
	uriName       = 6
	ipAddress     = 7
)

// Bounds of what is judged: each subtree is compared with each name below it.
const (
	maxSubtrees       = 128 // of a certificate, on distinguished names
	maxDirectoryNames = 16  // among the alternative names of a certificate
)

// subtrees are the name constraints of a certificate on distinguished names.
type subtrees struct {
	permitted, excluded []identity.ID
}

// subtreesOf returns the constraints of a certificate. It is an error if there are such that
// neither this package nor x509 judges.
func subtreesOf(c *x509.Certificate) (s subtrees, err error) {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidNameConstraints) && !s.parse(e.Value) {
			return s, FaultOf(c, "the certificate %s has name constraints that are not supported, or are malformed", Name(c))
		}
	}
	return s, nil
}

// parse adds the subtrees of an extension. It reports false if it cannot be judged.
func (s *subtrees) parse(der cryptobyte.String) bool {
	var all, permitted, excluded cryptobyte.String
	return der.ReadASN1(&all, casn1.SEQUENCE) && der.Empty() &&
		all.ReadOptionalASN1(&permitted, new(bool), field(0)) && all.ReadOptionalASN1(&excluded, new(bool), field(1)) && all.Empty() &&
		readSubtrees(permitted, &s.permitted) && readSubtrees(excluded, &s.excluded)
}

// readSubtrees reads GeneralSubtrees. Nothing may stand behind a base: "the minimum MUST be zero,
// and maximum MUST be absent" (RFC 5280, Section 4.2.1.10).
func readSubtrees(trees cryptobyte.String, into *[]identity.ID) bool {
	for !trees.Empty() {
		var tree, base cryptobyte.String
		var tag casn1.Tag
		if !trees.ReadASN1(&tree, casn1.SEQUENCE) || !tree.ReadAnyASN1(&base, &tag) || !tree.Empty() {
			return false
		}
		switch tag {
		case name(rfc822Name), name(dnsName), name(uriName), name(ipAddress):
			continue
		case field(directoryName):
		default:
			return false
		}
		if *into = append(*into, dnID(base)); len(*into) > maxSubtrees {
			return false
		}
	}
	return true
}

// name returns the tag of a general name that is not constructed.
func name(n uint8) casn1.Tag { return casn1.Tag(n).ContextSpecific() }

func dnID(der []byte) identity.ID { return identity.ID{Type: wire.IDDERDN, Data: string(der)} }

// understood returns a certificate whose name constraints do not count as unsupported if this
// package judges them: a copy, unless it is the same.
func understood(c *x509.Certificate) *x509.Certificate {
	at := slices.IndexFunc(c.UnhandledCriticalExtensions, oidNameConstraints.Equal)
	if _, err := subtreesOf(c); at < 0 || err != nil {
		return c
	}
	judged := *c
	judged.UnhandledCriticalExtensions = slices.Delete(slices.Clone(c.UnhandledCriticalExtensions), at, at+1)
	return &judged
}

// checkConstraints returns why the constraints of a chain on distinguished names do not hold, or
// nil. Those of each certificate are for all below it, but for authorities that certify themselves
// again (RFC 5280, Section 6.1.3).
func checkConstraints(chain []*x509.Certificate) error {
	for i := len(chain) - 1; i > 0; i-- {
		s, err := subtreesOf(chain[i])
		if err != nil {
			return err
		}
		for j, below := range chain[:i] {
			if s.none() || j > 0 && IsRoot(below) {
				continue
			}
			if err := s.check(below); err != nil {
				return FaultOf(below, "%w of %s", err, Name(chain[i]))
			}
		}
	}
	return nil
}

func (s *subtrees) none() bool { return len(s.permitted) == 0 && len(s.excluded) == 0 }

// check returns an error unless all distinguished names of a certificate are within the subtrees.
// The error ends with a word to which the name of the authority is added.
func (s *subtrees) check(c *x509.Certificate) error {
	names, ok := directoryNames(c)
	if !ok {
		return FaultOf(c, "the alternative names of the certificate %s cannot be held against the name constraints", Name(c))
	}
	for _, id := range names {
		permitted := len(s.permitted) == 0
		for _, base := range s.permitted {
			within, _ := id.Within(base)
			permitted = permitted || within
		}
		if !permitted {
			return FaultOf(c, "%s, a name of the certificate %s, is outside of the name constraints", dn([]byte(id.Data)), Name(c))
		}
		for _, base := range s.excluded {
			if within, sure := id.Within(base); within || !sure {
				return FaultOf(c, "%s, a name of the certificate %s, is excluded, or not to be told from what is, by the name constraints", dn([]byte(id.Data)), Name(c))
			}
		}
	}
	return nil
}

// directoryNames returns the subject of a certificate, unless that is empty, and the distinguished
// names among its alternative names.
func directoryNames(c *x509.Certificate) (list []identity.ID, ok bool) {
	if len(c.RawSubject) > 2 {
		list = append(list, dnID(c.RawSubject))
	}
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		value := cryptobyte.String(e.Value)
		var all cryptobyte.String
		if !value.ReadASN1(&all, casn1.SEQUENCE) || !value.Empty() {
			return nil, false
		}
		for !all.Empty() {
			var one cryptobyte.String
			var tag casn1.Tag
			if !all.ReadAnyASN1(&one, &tag) {
				return nil, false
			}
			if tag == field(directoryName) {
				list = append(list, dnID(one))
			}
		}
	}
	return list, len(list) <= maxDirectoryNames
}
