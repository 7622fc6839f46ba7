package certificate

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
)

// A Purpose is what the extended key usage (EKU) of a peer's certificate has to allow.
type Purpose uint8

// Values of Purpose. IANA "SMI Security for PKIX Extended Key Purpose".
const (
	AnyPurpose Purpose = iota // EKU is not looked at
	// IKE is the rule of RFC 4945, Section 5.1.3.12: no EKU at all, or one with id-kp-ipsecIKE or
	// anyExtendedKeyUsage.
	IKE
	// Server and Client tell a gateway's certificate from that of a client of the same authority:
	// the EKU is there, and has id-kp-serverAuth or id-kp-clientAuth.
	Server
	Client
)

// String returns the word of the configuration.
func (p Purpose) String() string { return [...]string{"any", "ike", "server", "client"}[p] }

var (
	oidIPsecIKE = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17}
	eku         = map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageAny: "anyExtendedKeyUsage", x509.ExtKeyUsageServerAuth: "serverAuth", x509.ExtKeyUsageClientAuth: "clientAuth",
		x509.ExtKeyUsageCodeSigning: "codeSigning", x509.ExtKeyUsageEmailProtection: "emailProtection", x509.ExtKeyUsageTimeStamping: "timeStamping",
		x509.ExtKeyUsageOCSPSigning: "OCSPSigning", x509.ExtKeyUsageIPSECEndSystem: "ipsecEndSystem", x509.ExtKeyUsageIPSECTunnel: "ipsecTunnel", x509.ExtKeyUsageIPSECUser: "ipsecUser",
	}
)

// Check returns why a certificate is not for the purpose, or nil.
func (p Purpose) Check(c *x509.Certificate) error {
	none := len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0
	has := func(u x509.ExtKeyUsage) bool { return slices.Contains(c.ExtKeyUsage, u) }
	met, wanted := true, ""
	switch p {
	case IKE:
		met = none || has(x509.ExtKeyUsageAny) || slices.ContainsFunc(c.UnknownExtKeyUsage, oidIPsecIKE.Equal)
		wanted = "ipsecIKE or anyExtendedKeyUsage, or no extended key usage at all"
	case Server:
		met, wanted = has(x509.ExtKeyUsageServerAuth), "serverAuth"
	case Client:
		met, wanted = has(x509.ExtKeyUsageClientAuth), "clientAuth"
	}
	if met {
		return nil
	}
	return FaultOf(c, "the certificate %s has the extended key usage %s; remote_eku = %q wants %s", Name(c), usages(c), p.String(), wanted)
}

// usages returns the extended key usage of a certificate for people.
func usages(c *x509.Certificate) string {
	const most = 6
	var list []string
	for _, u := range c.ExtKeyUsage {
		name := eku[u]
		if name == "" {
			name = fmt.Sprintf("number %d", u)
		}
		list = append(list, name)
	}
	for _, oid := range c.UnknownExtKeyUsage {
		if name := oid.String(); oid.Equal(oidIPsecIKE) {
			list = append(list, "ipsecIKE")
		} else {
			list = append(list, bounded(name))
		}
	}
	if len(list) > most {
		list = append(list[:most], "and more")
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
