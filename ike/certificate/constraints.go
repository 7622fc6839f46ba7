package certificate

import (
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// directoryName is the tag of a distinguished name among general names (RFC 5280, Section 4.2.1.6).
const directoryName = 4

// constrainsDirectoryNames reports whether a certificate has name constraints on distinguished
// names, or malformed ones. Package x509 skips the former where the extension is not critical, and
// so would take a subject for free that is not.
func constrainsDirectoryNames(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidNameConstraints) {
			continue
		}
		value := cryptobyte.String(e.Value)
		var all cryptobyte.String
		if !value.ReadASN1(&all, casn1.SEQUENCE) {
			return true
		}
		for !all.Empty() { // permittedSubtrees [0] and excludedSubtrees [1]
			var trees cryptobyte.String
			if !all.ReadAnyASN1(&trees, new(casn1.Tag)) || anyDirectoryName(trees) {
				return true
			}
		}
	}
	return false
}

// anyDirectoryName reports whether one of the GeneralSubtrees is a distinguished name, or is
// malformed.
func anyDirectoryName(trees cryptobyte.String) bool {
	for !trees.Empty() {
		var tree, base cryptobyte.String
		var tag casn1.Tag
		if !trees.ReadASN1(&tree, casn1.SEQUENCE) || !tree.ReadAnyASN1(&base, &tag) || tag == field(directoryName) {
			return true
		}
	}
	return false
}
