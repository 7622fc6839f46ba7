package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"culvert/internal/certtest"
)

// The rows are those of RFC 4945, Section 5.1.3.12, and what tells servers from clients.
func TestPurpose(t *testing.T) {
	ca := certtest.CA(t, "ca", "p256", nil)
	issue := func(known []x509.ExtKeyUsage, unknown ...asn1.ObjectIdentifier) *x509.Certificate {
		c := certtest.Template("leaf")
		c.ExtKeyUsage, c.UnknownExtKeyUsage = known, unknown
		return certtest.Sign(t, c, ca.Key, ca).Cert
	}
	other := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}
	for name, tt := range map[string]struct {
		cert                *x509.Certificate
		ike, server, client bool
		has                 string
	}{
		"none":        {issue(nil), true, false, false, "none"},
		"ipsecIKE":    {issue(nil, oidIPsecIKE), true, false, false, "ipsecIKE"},
		"any":         {issue([]x509.ExtKeyUsage{x509.ExtKeyUsageAny}), true, false, false, "anyExtendedKeyUsage"},
		"server":      {issue([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}), false, true, false, "serverAuth"},
		"client":      {issue([]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, other), false, false, true, "clientAuth, 1.3.6.1.4.1.311.20.2.2"},
		"both, IKE":   {issue([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, other, oidIPsecIKE), true, true, true, ""},
		"another":     {issue(nil, other), false, false, false, "1.3.6.1.4.1.311.20.2.2"},
		"old of IKE":  {issue([]x509.ExtKeyUsage{x509.ExtKeyUsageIPSECTunnel}), false, false, false, "ipsecTunnel"},
		"of no name":  {issue([]x509.ExtKeyUsage{x509.ExtKeyUsageMicrosoftCommercialCodeSigning}), false, false, false, "number 12"},
		"very many":   {issue([]x509.ExtKeyUsage{2, 3, 4, 5, 6, 7}, oidIPsecIKE), true, false, true, ", and more"},
		"one too few": {issue([]x509.ExtKeyUsage{5, 6, 7, 8, 9}, other), false, false, false, "ipsecEndSystem, ipsecTunnel, ipsecUser, timeStamping, OCSPSigning, 1.3.6.1.4.1.311.20.2.2;"},
	} {
		for p, want := range map[Purpose]bool{AnyPurpose: true, IKE: tt.ike, Server: tt.server, Client: tt.client} {
			err := p.Check(tt.cert)
			if (err == nil) != want {
				t.Errorf("%s for %v: %v", name, p, err)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.has) || !strings.Contains(err.Error(), `the certificate O=Example, CN=leaf has the extended key usage `) || !strings.Contains(err.Error(), `; remote_eku = "`+p.String()+`" wants `)) {
				t.Errorf("%s for %v: %v", name, p, err)
			}
		}
	}
	octets := certtest.Template("leaf")
	octets.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: unhex(t, "300a 0608 2b06010505070311")}} // RFC 4945
	if err := IKE.Check(certtest.Sign(t, octets, ca.Key, ca).Cert); err != nil {
		t.Errorf("id-kp-ipsecIKE by its octets: %v", err)
	}
	if err := IKE.Check(issue([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth})); err == nil || !strings.HasSuffix(err.Error(), `remote_eku = "ike" wants ipsecIKE or anyExtendedKeyUsage, or no extended key usage at all`) {
		t.Error(err)
	}
}
