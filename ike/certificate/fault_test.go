package certificate

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// TestLines: the certificate that is not accepted is marked, whether the peer sends it or it is
// configured. Where no authority is met, the trusted ones are named.
func TestLines(t *testing.T) {
	old := certtest.Validity(certtest.Start, now.AddDate(0, 0, -1))
	root, strange := certtest.CA(t, "root", "p256", nil), certtest.CA(t, "strange", "p256", nil)
	oldRoot := certtest.CA(t, "old", "p256", nil, old)
	middle := certtest.CA(t, "middle", "p256", root, old)
	leaf := middle.Issue(t, "leaf", "p256")
	for name, tt := range map[string]struct {
		trust []*x509.Certificate
		sent  []*x509.Certificate
		want  []string // the ends of the lines
	}{
		"an intermediate":        {[]*x509.Certificate{root.Cert}, []*x509.Certificate{leaf.Cert, middle.Cert}, []string{"ECDSA P-256", "ECDSA P-256: not accepted"}},
		"a configured authority": {[]*x509.Certificate{oldRoot.Cert}, []*x509.Certificate{oldRoot.Issue(t, "x", "p256").Cert}, []string{"ECDSA P-256", "2024-12-31T00:00:00Z, ECDSA P-256: not accepted"}},
		"no authority": {slices.Repeat([]*x509.Certificate{root.Cert}, 7), []*x509.Certificate{strange.Issue(t, "x", "p256").Cert},
			[]string{"ECDSA P-256: not accepted", "trusted: " + strings.Repeat("O=Example, CN=root; ", 5) + "and 2 more"}},
		"none of them": {[]*x509.Certificate{root.Cert}, nil, nil},
	} {
		ps := certPayloads(tt.sent...)
		s, err := ParseSent(ps)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewTrust(tt.trust).Verify(s, now)
		lines := Lines(ps, err)
		ok := len(lines) == len(tt.want) && err != nil
		for i := range min(len(lines), len(tt.want)) {
			ok = ok && strings.HasSuffix(lines[i], tt.want[i])
		}
		if !ok {
			t.Errorf("%s: %q for %v", name, lines, err)
		}
	}
	bad := []wire.Payload{&wire.Cert{Encoding: wire.CertX509Signature, Data: []byte{1}}}
	_, err := ParseSent(bad)
	if got := Lines(bad, err); len(got) != 1 || got[0] != "certificate 1: malformed: not accepted" {
		t.Errorf("malformed: %q for %v", got, err)
	}
}

// TestFaultOf: a Fault has the words, and wraps what its text wraps.
func TestFaultOf(t *testing.T) {
	inner := errors.New("inner")
	err := FaultOf(&x509.Certificate{}, "outer: %w", inner)
	if err.Error() != "outer: inner" || !errors.Is(err, inner) {
		t.Errorf("got %v", err)
	}
}
