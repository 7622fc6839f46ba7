package revocation

import (
	"crypto/x509"
	"reflect"
	"testing"
)

// uriPoint returns an issuing distribution point with a URI.
func uriPoint(uri string) []byte {
	n := byte(len(uri))
	return append([]byte{0x30, n + 6, 0xa0, n + 4, 0xa0, n + 2, 0x86, n}, uri...)
}

func TestParseScope(t *testing.T) {
	for _, c := range []struct {
		der  []byte
		want scope
		err  error
	}{
		{[]byte{0x30, 0}, scope{}, nil},
		{[]byte{0x30, 3, 0x81, 1, 0xff}, scope{userOnly: true}, nil},
		{[]byte{0x30, 3, 0x82, 1, 0xff}, scope{caOnly: true}, nil},
		{[]byte{0x30, 6, 0x81, 1, 0, 0x84, 1, 0}, scope{}, nil},
		{uriPoint("http://a/b"), scope{points: []string{"http://a/b"}}, nil},
		{[]byte{0x30, 4, 0x83, 2, 1, 6}, scope{}, errScopeReasons},
		{[]byte{0x30, 3, 0x84, 1, 0xff}, scope{}, errIndirect},
		{[]byte{0x30, 3, 0x85, 1, 0xff}, scope{}, errScopeAttributes},
		{[]byte{0x30, 6, 0x82, 1, 0, 0x81, 1, 0}, scope{}, errScope},                  // out of order
		{[]byte{0x30, 6, 0x81, 1, 0, 0x81, 1, 0xff}, scope{}, errScope},               // twice
		{[]byte{0x30, 3, 0x86, 1, 0}, scope{}, errScope},                              // unknown
		{[]byte{0x30, 2, 0x81, 0}, scope{}, errScope},                                 // no value
		{[]byte{0x30, 4, 0xa0, 2, 0xa1, 0}, scope{}, errScopeName},                    // relative to the issuer
		{[]byte{0x30, 8, 0xa0, 6, 0xa0, 4, 0x82, 2, 'a', 'b'}, scope{}, errScopeName}, // a DNS name
		{[]byte{0x30, 6, 0xa0, 4, 0xa0, 2, 0x86, 9}, scope{}, errScope},
		{[]byte{0x30, 0, 0}, scope{}, errScope},
		{nil, scope{}, errScope},
	} {
		got, err := parseScope(c.der)
		if err != c.err || err == nil && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%x: %+v, %v; want %+v, %v", c.der, got, err, c.want, c.err)
		}
	}
}

// A CRL of one distribution point is not about certificates that name another one.
func TestScopeOfOnePoint(t *testing.T) {
	var none *authority
	ca := none.issue(t, "ca", 1, asCA)
	crl := parse(t, ca.crlOf(t, extension(oidIssuingDistributionPoint, uriPoint("http://a/2")), 7))
	for points, status := range map[string]Status{"http://a/2": Revoked, "http://a/1": Unknown, "": Unknown} {
		leaf := ca.issue(t, "leaf", 7, func(c *x509.Certificate) {
			if points != "" {
				c.CRLDistributionPoints = []string{points}
			}
		})
		reason := ""
		if status == Unknown {
			reason = "is of another distribution point than the certificate"
		}
		got, err := crl.Answer(leaf.cert, ca.cert, now)
		wantAnswer(t, got, err, status, reason)
	}
}
