package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"culvert/ike/identity"
	"culvert/internal/certtest"
)

func withExtension(e pkix.Extension) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, e) }
}

// alternative returns an extension of alternative names with a distinguished name and a DNS name.
func alternative(t *testing.T, name pkix.Name) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal([]asn1.RawValue{
		{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("leaf.example.com")}, {Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: der},
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidSubjectAltName, Value: value}
}

// Name constraints on distinguished names hold for the subject and the alternative names of all
// certificates below, whether the extension is critical, as it must be, or not, and whether it is
// of the root or of an intermediate authority. Letters and white space evade none of them.
func TestDirectoryNameConstraints(t *testing.T) {
	const outside, excluded = "is outside of the name constraints of O=Example, CN=middle", "is excluded, or not to be told from what is, by the name constraints of O=Example, CN=middle"
	org := func(names ...string) pkix.Name { return pkix.Name{Organization: names} }
	for name, tt := range map[string]struct {
		base     pkix.Name
		excluded bool
		subject  pkix.Name
		edit     func(*x509.Certificate)
		want     string // a part of the error; empty: it holds
	}{
		"permitted":                      {base: org("Example"), subject: pkix.Name{Organization: []string{"Example"}, CommonName: "x"}},
		"permitted, the base itself":     {base: org("Example"), subject: org("Example")},
		"permitted, other letters":       {base: org("EXAMPLE   inc"), subject: pkix.Name{Organization: []string{" example Inc"}, CommonName: "x"}},
		"permitted, beyond ASCII":        {base: org("Exämple"), subject: pkix.Name{Organization: []string{"ExämPLE"}, CommonName: "x"}},
		"permitted, none at all":         {base: org("Example"), subject: pkix.Name{}},
		"permitted, an alternative name": {base: org("Example"), subject: org("Example"), edit: withExtension(alternative(t, org("Example")))},
		"outside":                        {base: org("Example"), subject: org("Other"), want: "O=Other, a name of the certificate O=Other, " + outside},
		"outside, above":                 {base: pkix.Name{Organization: []string{"Example"}, CommonName: "x"}, subject: org("Example"), want: outside},
		"outside, the same value":        {base: org("Example"), subject: pkix.Name{CommonName: "Example"}, want: outside},
		"outside, another order":         {base: pkix.Name{CommonName: "x"}, subject: pkix.Name{Organization: []string{"Example"}, CommonName: "x"}, want: outside},
		"outside, a longer value":        {base: org("Example"), subject: org("Example Inc"), want: outside},
		"outside, by the Kelvin sign":    {base: org("k"), subject: org("\u212a"), want: outside},
		"outside, an alternative name":   {base: org("Example"), subject: org("Example"), edit: withExtension(alternative(t, org("Other"))), want: "O=Other, a name of the certificate O=Example, " + outside},
		"excluded":                       {base: org("Other"), excluded: true, subject: pkix.Name{Organization: []string{"Other"}, CommonName: "x"}, want: "O=Other, CN=x, a name of the certificate O=Other, CN=x, " + excluded},
		"excluded, other letters":        {base: org("Other"), excluded: true, subject: org("oTHER"), want: excluded},
		"excluded, white space":          {base: org("An Other"), excluded: true, subject: org("  AN \t other "), want: excluded},
		"excluded, by the Kelvin sign":   {base: org("k"), excluded: true, subject: org("\u212a"), want: excluded},
		"excluded, beyond ASCII":         {base: org("Ä"), excluded: true, subject: org("ä"), want: excluded},
		"excluded, an alternative name":  {base: org("Other"), excluded: true, subject: org("Example"), edit: withExtension(alternative(t, org("OTHER"))), want: excluded},
		"not excluded":                   {base: org("Other"), excluded: true, subject: org("Example")},
		"not excluded, beyond ASCII":     {base: pkix.Name{Country: []string{"DE"}, Organization: []string{"Other"}}, excluded: true, subject: pkix.Name{Country: []string{"FR"}, Organization: []string{"é"}}},
		"not excluded, above":            {base: pkix.Name{Organization: []string{"Other"}, CommonName: "x"}, excluded: true, subject: org("Other")},
	} {
		for _, critical := range []bool{true, false} {
			constraint := certtest.DirectoryNameConstraint(t, tt.base, tt.excluded, critical)
			for _, ofRoot := range []bool{true, false} {
				root := certtest.CA(t, "root", "p256", nil)
				middle := certtest.CA(t, "middle", "p256", root, withExtension(constraint))
				chain := []*x509.Certificate{middle.Cert}
				if ofRoot {
					root, chain = middle, nil
				}
				tmpl := certtest.Template("")
				tmpl.Subject = tt.subject
				if tt.edit != nil {
					tt.edit(tmpl)
				}
				leaf := certtest.Sign(t, tmpl, certtest.Key(t, "p256"), middle)
				got, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, append([]*x509.Certificate{leaf.Cert}, chain...)...), now)
				if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || got != nil) {
					t.Errorf("%s, critical %v, of the root %v: %v, want %q", name, critical, ofRoot, err, tt.want)
				}
			}
		}
	}
}

// Constraints are for the authorities below as well, but for one that certifies itself again.
func TestConstraintsOnAuthorities(t *testing.T) {
	constraint := certtest.DirectoryNameConstraint(t, pkix.Name{Organization: []string{"Below"}}, false, true)
	root := certtest.CA(t, "root", "p256", nil, withExtension(constraint))
	for name, tt := range map[string]struct {
		subject pkix.Name
		want    string
	}{
		"within":      {pkix.Name{Organization: []string{"Below"}, CommonName: "middle"}, ""},
		"outside":     {pkix.Name{CommonName: "middle"}, "CN=middle, a name of the certificate CN=middle, is outside of the name constraints of O=Example, CN=root"},
		"self-issued": {root.Cert.Subject, ""},
	} {
		middle := certtest.CA(t, "", "p256", root, func(c *x509.Certificate) { c.Subject = tt.subject })
		tmpl := certtest.Template("")
		tmpl.Subject = pkix.Name{Organization: []string{"Below"}, CommonName: "leaf"}
		leaf := certtest.Sign(t, tmpl, certtest.Key(t, "p256"), middle)
		_, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, leaf.Cert, middle.Cert), now)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// Constraints that nobody judges are refused, critical or not.
func TestConstraintsThatAreNotSupported(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	for name, tt := range map[string]struct {
		value string
		want  [2]string // critical, or not
	}{
		"a registered ID":           {"3009 a007 3005 8803 2a0304", [2]string{"a critical extension that is not supported", "O=Example, CN=middle has name constraints that are not supported"}},
		"a maximum":                 {"300b a009 3007 a402 3000 8101 05", [2]string{"a critical extension that is not supported", "not supported, or are malformed"}},
		"names and a registered ID": {"3010 a00e 3005 8203 616263 3005 8803 2a0304", [2]string{"a critical extension that is not supported", "not supported, or are malformed"}},
	} {
		for i, want := range tt.want {
			e := pkix.Extension{Id: oidNameConstraints, Critical: i == 0, Value: unhex(t, tt.value)}
			ca := certtest.CA(t, "middle", "p256", root, withExtension(e))
			_, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(mustParse(t, ca.Issue(t, "leaf", "p256", "abc").Cert, ca.Cert), now)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %d: %v, want %q", name, i, err, want)
			}
		}
	}
}

func TestParseSubtrees(t *testing.T) {
	for name, tt := range map[string]struct {
		value               string
		ok                  bool
		permitted, excluded int
	}{
		"names":            {"3009 a007 3005 8203 616263", true, 0, 0},
		"of every kind":    {"3018 a016 3003 8101 61 3003 8201 61 3004 a402 3000 3004 8602 613a", true, 1, 0},
		"an address":       {"300c a00a 3008 8706 000000000000", true, 0, 0},
		"excluded":         {"3008 a106 3004 a402 3000", true, 0, 1},
		"both":             {"3010 a006 3004 a402 3000 a106 3004 a402 3000", true, 1, 1},
		"nothing":          {"3000", true, 0, 0},
		"empty":            {"", false, 0, 0},
		"an integer":       {"020101", false, 0, 0},
		"cut":              {"3005a003", false, 0, 0},
		"a tree cut":       {"3004a0023005", false, 0, 0},
		"no base":          {"3004a0023000", false, 0, 0},
		"octets behind":    {"3000 00", false, 0, 0},
		"a third list":     {"3008 a206 3004 a402 3000", false, 0, 0},
		"in another order": {"3010 a106 3004 a402 3000 a006 3004 a402 3000", false, 0, 1},
		"a minimum":        {"300b a009 3007 a402 3000 8001 00", false, 0, 0},
		"another name":     {"3008 a006 3004 a002 3000", false, 0, 0},
	} {
		var s subtrees
		ok := s.parse(unhex(t, tt.value))
		if ok != tt.ok || ok && (len(s.permitted) != tt.permitted || len(s.excluded) != tt.excluded) {
			t.Errorf("%s: %v, %d permitted and %d excluded", name, ok, len(s.permitted), len(s.excluded))
		}
	}
	for n, want := range map[int]bool{maxSubtrees: true, maxSubtrees + 1: false} {
		trees := strings.Repeat("3004a4023000", n)
		list := fmt.Sprintf("a082%04x%s", len(trees)/2, trees)
		var s subtrees
		if ok := s.parse(unhex(t, fmt.Sprintf("3082%04x%s", len(list)/2, list))); ok != want {
			t.Errorf("%d subtrees: %v", n, ok)
		}
	}
}

func TestDirectoryNames(t *testing.T) {
	extension := func(hex string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(1), Extensions: []pkix.Extension{{Id: oidNameConstraints}, {Id: oidSubjectAltName, Value: unhex(t, hex)}}}
	}
	for name, tt := range map[string]struct {
		c     *x509.Certificate
		count int
		ok    bool
	}{
		"none":              {&x509.Certificate{RawSubject: []byte{0x30, 0}}, 0, true},
		"a subject":         {&x509.Certificate{RawSubject: unhex(t, "300d310b3009060355040613024445")}, 1, true},
		"alternative":       {extension("3009 8203 616263 a402 3000"), 1, true},
		"malformed":         {extension("3005 82"), 0, false},
		"cut":               {extension("3002 8203"), 0, false},
		"octets behind":     {extension("3000 00"), 0, false},
		"as many as may be": {extension(fmt.Sprintf("30%02x", 4*maxDirectoryNames) + strings.Repeat("a4023000", maxDirectoryNames)), maxDirectoryNames, true},
		"one more":          {extension(fmt.Sprintf("30%02x", 4*maxDirectoryNames+4) + strings.Repeat("a4023000", maxDirectoryNames+1)), maxDirectoryNames + 1, false},
	} {
		if list, ok := directoryNames(tt.c); ok != tt.ok || ok && len(list) != tt.count {
			t.Errorf("%s: %d, %v", name, len(list), ok)
		}
	}
	s := subtrees{permitted: []identity.ID{{}}}
	if err := s.check(extension("3005 82")); err == nil || !strings.Contains(err.Error(), "cannot be held against the name constraints") {
		t.Error(err)
	}
}
