package keyfile

import (
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

func TestLoadOCSP(t *testing.T) {
	key := sampleKeys()["p256"]
	ca := certify(t, key, "ca", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	good, err := ocsp.CreateResponse(ca, ca, ocsp.Response{SerialNumber: big.NewInt(7), ThisUpdate: time.Unix(1e9, 0)}, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		n    int
		want string
	}{
		"PEM":         {block("OCSP RESPONSE", good), 1, ""},
		"DER":         {good, 1, ""},
		"several":     {append(block("OCSP RESPONSE", good), block("OCSP RESPONSE", good)...), 2, ""},
		"certificate": {ca.Raw, 0, "holds a certificate, not an OCSP response; name the file that holds an OCSP response"},
		"an error":    {ocsp.TryLaterErrorResponse, 0, "is an error of the responder: try later"},
		"cut":         {block("OCSP RESPONSE", good[:40]), 0, "is not an OCSP response that can be read"},
	} {
		path := write(t, "left.ocsp", c.data)
		got, err := LoadOCSP(path)
		if c.want != "" {
			wantError(t, err, path, c.want)
		} else if err != nil || len(got) != c.n || string(got[0]) != string(good) {
			t.Errorf("%s: %d responses, %v", name, len(got), err)
		}
	}
}
