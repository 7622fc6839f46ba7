package certificate

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The objects of RFC 7427, Appendix A and RFC 8420, Appendix A.
var identifiers = map[string]struct {
	der  string
	want algorithm // zero: it is refused
	ours bool      // it is what we send
}{
	"sha1WithRSAEncryption":   {"300d 0609 2a86 4886 f70d 0101 0505 00", algorithm{pkcs1, SHA1}, true},
	"sha256WithRSAEncryption": {"300d 0609 2a86 4886 f70d 0101 0b05 00", algorithm{pkcs1, SHA256}, true},
	"sha384WithRSAEncryption": {"300d 0609 2a86 4886 f70d 0101 0c05 00", algorithm{pkcs1, SHA384}, true},
	"sha512WithRSAEncryption": {"300d 0609 2a86 4886 f70d 0101 0d05 00", algorithm{pkcs1, SHA512}, true},
	"dsa-with-sha1":           {"3009 0607 2a86 48ce 3804 03", algorithm{}, false},
	"dsa-with-sha256":         {"300b 0609 6086 4801 6503 0403 02", algorithm{}, false},
	"ecdsa-with-sha1":         {"3009 0607 2a86 48ce 3d04 01", algorithm{dsaOnEC, SHA1}, true},
	"ecdsa-with-sha256":       {"300a 0608 2a86 48ce 3d04 0302", algorithm{dsaOnEC, SHA256}, true},
	"ecdsa-with-sha384":       {"300a 0608 2a86 48ce 3d04 0303", algorithm{dsaOnEC, SHA384}, true},
	"ecdsa-with-sha512":       {"300a 0608 2a86 48ce 3d04 0304", algorithm{dsaOnEC, SHA512}, true},
	"RSASSA-PSS, empty":       {"300d 0609 2a86 4886 f70d 0101 0a30 00", algorithm{}, false},
	"RSASSA-PSS, default": {`303e 0609 2a86 4886 f70d 0101 0a30 31a0 0b30 0906 052b 0e03 021a 0500 a118 3016
		0609 2a86 4886 f70d 0101 0830 0906 052b 0e03 021a 0500 a203 0201 14a3 0302 0101`, algorithm{pss, SHA1}, false},
	"RSASSA-PSS with SHA-256": {`3046 0609 2a86 4886 f70d 0101 0a30 39a0 0f30 0d06 0960 8648 0165 0304 0201 0500
		a11c 301a 0609 2a86 4886 f70d 0101 0830 0d06 0960 8648 0165 0304 0201 0500 a203 0201 20a3 0302 0101`, algorithm{pss, SHA256}, false},
	"the same in DER": {`3041 0609 2a86 4886 f70d 0101 0a30 34a0 0f30 0d06 0960 8648 0165 0304 0201 0500
		a11c 301a 0609 2a86 4886 f70d 0101 0830 0d06 0960 8648 0165 0304 0201 0500 a203 0201 20`, algorithm{pss, SHA256}, true},
	"id-Ed25519": {"3005 0603 2B65 70", algorithm{eddsa, Identity}, true},
	"id-Ed448":   {"3005 0603 2B65 71", algorithm{}, false},
}

func TestParseIdentifier(t *testing.T) {
	for name, tt := range identifiers {
		der := unhex(t, tt.der)
		got, err := parseIdentifier(der)
		if got != tt.want || (err == nil) != (tt.want != algorithm{}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if made := tt.want.identifier(); tt.ours && !bytes.Equal(made, der) {
			t.Errorf("%s: we send %x", name, made)
		}
		for n := range der {
			if got, err := parseIdentifier(der[:n]); err == nil {
				t.Errorf("%s, the first %d octets: %v", name, n, got)
			}
		}
		if got, err := parseIdentifier(append(der, 0)); err == nil {
			t.Errorf("%s and an octet more: %v", name, got)
		}
	}
}

// Every algorithm that we may send is parsed as itself.
func TestIdentifiersReturn(t *testing.T) {
	for _, k := range []kind{pkcs1, pss, dsaOnEC} {
		for _, h := range []Hash{SHA256, SHA384, SHA512} {
			a := algorithm{k, h}
			if got, err := parseIdentifier(a.identifier()); err != nil || got != a {
				t.Errorf("%v: %v, %v", a, got, err)
			}
		}
	}
}

// Parameters of another form than the algorithm has are refused, whatever stands in them.
func TestParametersAreStrict(t *testing.T) {
	for name, tt := range map[string]struct {
		der  string
		good bool
	}{
		"RSA without parameters":          {"300b 0609 2a86 4886 f70d 0101 0b", true},
		"RSA with an octet in NULL":       {"300e 0609 2a86 4886 f70d 0101 0b05 0100", false},
		"RSA with NULL twice":             {"300f 0609 2a86 4886 f70d 0101 0b05 0005 00", false},
		"RSA with a sequence":             {"300d 0609 2a86 4886 f70d 0101 0b30 00", false},
		"RSA with a long length":          {"3081 0d06 092a 8648 86f7 0d01 010b 0500", false},
		"RSA with an indefinite length":   {"3080 0609 2a86 4886 f70d 0101 0b05 0000 00", false},
		"ECDSA with NULL":                 {"300c 0608 2a86 48ce 3d04 0302 0500", false},
		"Ed25519 with NULL":               {"3007 0603 2b65 7005 00", false},
		"PSS without parameters":          {"300b 0609 2a86 4886 f70d 0101 0a", false},
		"PSS with NULL":                   {"300d 0609 2a86 4886 f70d 0101 0a05 00", false},
		"PSS whose hashes lack NULL":      {"303d 06092a864886f70d01010a 3030 a00d 300b 0609608648016503040201 a11a 3018 06092a864886f70d010108 300b 0609608648016503040201 a203 020120", true},
		"PSS with MGF1 of another hash":   {"3041 06092a864886f70d01010a 3034 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040202 0500 a203 020120", false},
		"PSS with another function":       {"3041 06092a864886f70d01010a 3034 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010109 300d 0609608648016503040201 0500 a203 020120", false},
		"PSS whose MGF1 has no hash":      {"3032 06092a864886f70d01010a 3025 a00f 300d 0609608648016503040201 0500 a10d 300b 06092a864886f70d010108 a203 020120", false},
		"PSS with a salt of 0":            {"3041 06092a864886f70d01010a 3034 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040201 0500 a203 020100", false},
		"PSS with a negative salt":        {"3041 06092a864886f70d01010a 3034 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040201 0500 a203 0201ff", false},
		"PSS with a huge salt":            {"3045 06092a864886f70d01010a 3038 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040201 0500 a207 02057fffffffff", false},
		"PSS with another trailer":        {"3046 06092a864886f70d01010a 3039 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040201 0500 a203 020120 a303 020102", false},
		"PSS with something behind":       {"3043 06092a864886f70d01010a 3036 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040201 0500 a203 020120 0500", false},
		"PSS with something behind it":    {"3043 06092a864886f70d01010a 3034 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040201 0500 a203 020120 0500", false},
		"PSS with the fields in disorder": {"3041 06092a864886f70d01010a 3034 a203 020120 a00f 300d 0609608648016503040201 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040201 0500", false},
		"PSS with an unknown hash":        {"3041 06092a864886f70d01010a 3034 a00f 300d 0609608648016503040209 0500 a11c 301a 06092a864886f70d010108 300d 0609608648016503040209 0500 a203 020120", false},
		"nothing":                         {"", false},
	} {
		if got, err := parseIdentifier(unhex(t, tt.der)); (err == nil) != tt.good {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// The identifiers of RSASSA-PSS by the octets of their hashes (RFC 8017, Appendix B.1), salts as
// long as these.
func TestIdentifiersOfPSS(t *testing.T) {
	for h, tt := range map[Hash]struct{ hash, salt string }{
		SHA256: {"608648016503040201", "20"}, SHA384: {"608648016503040202", "30"}, SHA512: {"608648016503040203", "40"},
	} {
		id := "300d 0609" + tt.hash + "0500"
		want := unhex(t, "3041 0609 2a864886f70d01010a 3034 a00f"+id+"a11c 301a 0609 2a864886f70d010108"+id+"a203 0201"+tt.salt)
		if got := (algorithm{pss, h}).identifier(); !bytes.Equal(got, want) {
			t.Errorf("%v: %x, want %x", h, got, want)
		}
		if a, err := parseIdentifier(want); err != nil || a != (algorithm{pss, h}) {
			t.Errorf("%v: %v, %v", h, a, err)
		}
	}
}
