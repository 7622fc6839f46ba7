package keyfile

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A form is what an item of a file is.
type form int

const (
	unknown form = iota
	privateKey
	encryptedKey
	publicKey
	x509Certificate
	pkcs12File
	crl
	request
	trusted
	pkcs7
	sshPrivateKey
	sshPublicKey
	tpmKey
	parameters
	ocspResponse
)

// forms name each form. The remedy tells what to do with a file that holds it where an item of the
// form toward is wanted; FILE in it stands for the name of the file.
var forms = [...]struct {
	name   string
	toward form
	remedy string
}{
	unknown:         {name: "nothing that is known"},
	privateKey:      {name: "a private key"},
	publicKey:       {name: "a public key"},
	x509Certificate: {name: "a certificate"},
	pkcs12File:      {name: "PKCS#12"},
	crl:             {name: "a certificate revocation list"},
	parameters:      {name: "parameters of a key"},
	ocspResponse:    {name: "an OCSP response"},
	encryptedKey:    {"an encrypted private key", privateKey, "decrypt it, since nobody can give a daemon its passphrase: (umask 077; openssl pkey -in FILE -out NEW)"},
	sshPrivateKey:   {"a private key in OpenSSH's own form", privateKey, "use one in PKCS#8, as openssl genpkey makes them"},
	tpmKey:          {"a key that only a TPM can use", privateKey, "use a key in a file: TPM and PKCS#11 are not supported"},
	request:         {"a certificate request", x509Certificate, "have it signed by a CA"},
	trusted:         {"a certificate in OpenSSL's own form", x509Certificate, "convert it: openssl x509 -in FILE -out NEW"},
	pkcs7:           {"PKCS#7", x509Certificate, "extract the certificates: openssl pkcs7 -in FILE -print_certs -out NEW"},
	sshPublicKey:    {name: "a public key in OpenSSH's own form"},
}

// secret reports whether the form is confidential.
func (f form) secret() bool {
	switch f {
	case privateKey, encryptedKey, pkcs12File, sshPrivateKey:
		return true
	}
	return false
}

// labels are the forms by the label of a PEM block (RFC 7468, Section 4; others by use).
var labels = map[string]form{
	"CERTIFICATE":             x509Certificate,
	"X509 CERTIFICATE":        x509Certificate,
	"TRUSTED CERTIFICATE":     trusted,
	"PRIVATE KEY":             privateKey,
	"RSA PRIVATE KEY":         privateKey,
	"EC PRIVATE KEY":          privateKey,
	"ENCRYPTED PRIVATE KEY":   encryptedKey,
	"OPENSSH PRIVATE KEY":     sshPrivateKey,
	"TSS2 PRIVATE KEY":        tpmKey,
	"PUBLIC KEY":              publicKey,
	"RSA PUBLIC KEY":          publicKey,
	"X509 CRL":                crl,
	"CERTIFICATE REQUEST":     request,
	"NEW CERTIFICATE REQUEST": request,
	"PKCS7":                   pkcs7,
	"CMS":                     pkcs7,
	"EC PARAMETERS":           parameters,
	"DH PARAMETERS":           parameters,
	"OCSP RESPONSE":           ocspResponse,
}

// An item is one thing that a file holds, in DER.
type item struct {
	form form
	der  []byte
}

// split returns what a file holds: the blocks of a PEM file, or the one item of a DER file. What
// stands between PEM blocks is a comment.
func split(data []byte) ([]item, error) {
	begins := countBegins(data)
	if begins == 0 {
		return []item{{shape(data), data}}, nil
	}
	var items []item
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		it := item{labels[b.Type], b.Bytes}
		if it.form == privateKey && strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
			it.form = encryptedKey // RFC 1421, Section 4.6.1.1
		}
		items = append(items, it)
	}
	if len(items) != begins {
		return nil, fmt.Errorf("has %d blocks that begin with %s, of which %d can be read; copy the file again", begins, begin, len(items))
	}
	return items, nil
}

// begin is what a line begins with that opens a PEM block.
const begin = "-----BEGIN "

// countBegins returns the number of lines that open a PEM block.
func countBegins(data []byte) (n int) {
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(line, []byte(begin)) {
			n++
		}
	}
	return n
}

// shapes are the forms by the tags of the first elements of the outermost SEQUENCE.
var shapes = []struct {
	tags []asn1.Tag
	form form
}{
	{[]asn1.Tag{asn1.SEQUENCE, asn1.SEQUENCE, asn1.BIT_STRING}, x509Certificate}, // a CRL and a request as well
	{[]asn1.Tag{asn1.SEQUENCE, asn1.BIT_STRING}, publicKey},                      // RFC 5280, Section 4.1
	{[]asn1.Tag{asn1.SEQUENCE, asn1.OCTET_STRING}, encryptedKey},                 // RFC 5958, Section 3
	{[]asn1.Tag{asn1.INTEGER, asn1.SEQUENCE, asn1.OCTET_STRING}, privateKey},     // RFC 5958, Section 2
	{[]asn1.Tag{asn1.INTEGER, asn1.INTEGER, asn1.INTEGER}, privateKey},           // RFC 8017, Appendix A.1.2
	{[]asn1.Tag{asn1.INTEGER, asn1.INTEGER}, publicKey},                          // RFC 8017, Appendix A.1.1
	{[]asn1.Tag{asn1.INTEGER, asn1.OCTET_STRING}, privateKey},                    // RFC 5915, Section 3
	{[]asn1.Tag{asn1.INTEGER, asn1.SEQUENCE}, pkcs12File},                        // RFC 7292, Section 4
	{[]asn1.Tag{asn1.OBJECT_IDENTIFIER}, pkcs7},                                  // RFC 5652, Section 3
	{[]asn1.Tag{asn1.ENUM}, ocspResponse},                                        // RFC 6960, Section 4.2.1
}

// shape returns the form of a file that is not PEM.
func shape(data []byte) form {
	for _, kind := range []string{"ssh-", "ecdsa-sha2-"} {
		if bytes.HasPrefix(data, []byte(kind)) {
			return sshPublicKey
		}
	}
	var body cryptobyte.String
	if in := cryptobyte.String(data); !in.ReadASN1(&body, asn1.SEQUENCE) || !in.Empty() {
		return unknown
	}
	for _, s := range shapes {
		if begins(body, s.tags) {
			return s.form
		}
	}
	return unknown
}

// begins reports whether the first elements of body have these tags.
func begins(body cryptobyte.String, tags []asn1.Tag) bool {
	for _, want := range tags {
		var element cryptobyte.String
		var tag asn1.Tag
		if !body.ReadAnyASN1(&element, &tag) || tag != want {
			return false
		}
	}
	return true
}
