package certificate

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// maxName bounds a name in an error, in octets: an error has several.
const maxName = 120

// Name returns a certificate's subject for people, escaped and bounded; without a subject its first
// alternative name, or its serial number.
func Name(c *x509.Certificate) string {
	if subject := dn(c.RawSubject); subject != "" {
		return subject
	}
	if names := names(c); len(names) > 0 {
		return bounded(names[0].String())
	}
	return "serial number " + bounded(hex.EncodeToString(c.SerialNumber.Bytes()))
}

// Issuer returns the name of a certificate's issuer for people, escaped and bounded.
func Issuer(c *x509.Certificate) string {
	if issuer := dn(c.RawIssuer); issuer != "" {
		return issuer
	}
	return "an issuer without a name"
}

func dn(raw []byte) string {
	if len(raw) <= 2 { // an empty sequence
		return ""
	}
	return bounded(identity.ID{Type: wire.IDDERDN, Data: string(raw)}.String())
}

func bounded(s string) string {
	if len(s) > maxName {
		return strings.ToValidUTF8(s[:maxName], "") + "..."
	}
	return s
}

// Describe returns a line on each certificate that a peer sends, the leaf first: its subject, its
// issuer, its validity and its key.
func Describe(ps []wire.Payload) (lines []string) {
	for _, p := range ps {
		sent, ok := p.(*wire.Cert)
		if !ok || sent.Encoding != wire.CertX509Signature || len(lines) == maxCertificates {
			continue
		}
		n := len(lines) + 1
		c, err := x509.ParseCertificate(sent.Data)
		if err != nil {
			lines = append(lines, fmt.Sprintf("certificate %d: malformed", n))
			continue
		}
		lines = append(lines, fmt.Sprintf("certificate %d: %s", n, line(c)))
	}
	return lines
}

// namesText returns the identities of a certificate for people.
func namesText(c *x509.Certificate) string {
	const most = 4
	var list []string
	for _, id := range names(c) {
		list = append(list, bounded(id.String()))
	}
	if s := dn(c.RawSubject); s != "" {
		list = append(list, s)
	}
	if len(list) > most {
		list = append(list[:most], "and more")
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, "; ")
}
