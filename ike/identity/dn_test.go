package identity

import (
	"strings"
	"testing"

	"culvert/ike/wire"
)

// The DN's string type may differ from ours: OpenSSL writes UTF8String, Go PrintableString.
func TestIdentityDNStringTypes(t *testing.T) {
	utf8DN := ID{wire.IDDERDN, string(unhex(t, "300f 310d 300b 0603 550403 0c04 6c656674"))}
	if !utf8DN.Matches(mustIdentity(t, "CN=left")) {
		t.Errorf("%q does not match CN=left", utf8DN)
	}
}

// TestAttributes: the OID and the string type of each attribute (RFC 4519; RFC 2985, Section
// 5.2.1), whatever the case of its name, and the name that is printed.
func TestAttributes(t *testing.T) {
	for name, want := range map[string]struct{ oid, tag, printed string }{
		"CN": {"0603 550403", "13", "CN"}, "SN": {"0603 550404", "13", "SN"}, "serialnumber": {"0603 550405", "13", "serialNumber"},
		"c": {"0603 550406", "13", "C"}, "L": {"0603 550407", "13", "L"}, "ST": {"0603 550408", "13", "ST"}, "S": {"0603 550408", "13", "ST"},
		"street": {"0603 550409", "13", "STREET"}, "O": {"0603 55040a", "13", "O"}, "OU": {"0603 55040b", "13", "OU"}, "T": {"0603 55040c", "13", "T"},
		"postalCode": {"0603 550411", "13", "postalCode"}, "G": {"0603 55042a", "13", "G"}, "GN": {"0603 55042a", "13", "G"},
		"uid": {"060a 0992268993f22c640101", "13", "UID"}, "DC": {"060a 0992268993f22c640119", "16", "DC"},
		"E": {"0609 2a864886f70d010901", "16", "E"}, "emailaddress": {"0609 2a864886f70d010901", "16", "E"},
	} {
		id := mustIdentity(t, name+"=x")
		attribute := append(unhex(t, want.oid), unhex(t, want.tag+" 01 78")...)
		if !strings.HasSuffix(id.Data, string(attribute)) || id.Type != wire.IDDERDN {
			t.Errorf("%s: %x, want it to end with %x", name, id.Data, attribute)
		}
		if id.String() != want.printed+"=x" {
			t.Errorf("%s is printed as %q", name, id)
		}
	}
	if id := mustIdentity(t, "DC=\u00e9"); !strings.HasSuffix(id.Data, "\x0c\x02\u00e9") {
		t.Errorf("what does not fit an IA5String is %x, not an UTF8String", id.Data)
	}
}

// TestEscapes: commas and quotation marks of a value, as they are written and printed.
func TestEscapes(t *testing.T) {
	for in, want := range map[string]string{
		`CN="a,b", O=c`:   `CN=a\,b, O=c`,
		`CN=a\,b,O=c`:     `CN=a\,b, O=c`,
		`CN=a\\, O=c`:     `CN=a\\, O=c`,
		`CN="a\"b, c"`:    `CN=a\"b\, c`,
		`CN=a"b`:          `CN=a\"b`,
		`CN=a\`:           `CN=a\\`,
		`CN = a , O = b `: `CN=a, O=b`,
	} {
		if got := mustIdentity(t, in); got.String() != want {
			t.Errorf("%s is printed as %s, want %s", in, got, want)
		}
	}
	for _, bad := range []string{`CN=`, `CN=""`, `CN=a, =b`, "CN=a\x01b"} {
		if id, err := Parse(bad); err == nil {
			t.Errorf("%q is read as %s", bad, id)
		}
	}
}

// TestNamesThatAreNone: what is not a Name, or has something behind it, equals nothing but itself.
func TestNamesThatAreNone(t *testing.T) {
	dn := func(s string) ID { return ID{wire.IDDERDN, string(unhex(t, s))} }
	whole := "300f 310d 300b 0603 550403 0c04 6c656674"
	trailing, cut := dn(whole+"00"), dn(whole[:len(whole)-2])
	for name, id := range map[string]ID{"with an octet behind it": trailing, "cut": cut} {
		if id.Matches(dn(whole)) || dn(whole).Matches(id) || !id.Matches(id) || id.Canonical() != id {
			t.Errorf("a Name %s is taken for another one", name)
		}
		if !strings.HasPrefix(id.String(), "type 9:") {
			t.Errorf("a Name %s is printed as %q", name, id)
		}
	}
	other := dn("300f 310d 300b 0603 550401 0c04 6c656674")
	if got := other.String(); got != "2.5.4.1=left" {
		t.Errorf("an unknown attribute is printed as %q", got)
	}
}

// A '*' in place of a value stands for any, in a Name of the same attributes in the same order.
func TestPatternsOfDNs(t *testing.T) {
	for _, tt := range []struct {
		id, pattern string
		want        bool
	}{
		{"CN=left, O=Example", "CN=*, O=Example", true},
		{"CN=left, O=example", "cn=*, o=EXAMPLE", true},
		{"CN=left, O=Example", "CN=*, O=*", true},
		{"CN=left, O=Example", "CN=left, O=*", true},
		{"CN=left, O=Other", "CN=*, O=Example", false},
		{"O=Example, CN=left", "CN=*, O=Example", false},
		{"CN=left", "CN=*, O=Example", false},
		{"CN=left, OU=vpn, O=Example", "CN=*, O=Example", false},
		{"OU=left, O=Example", "CN=*, O=Example", false},
		{"CN=left, O=Example", "CN=l*, O=Example", false}, // it stands for itself
		{"CN=l*, O=Example", "CN=l*, O=Example", true},
	} {
		pattern := mustIdentity(t, tt.pattern)
		if got := mustIdentity(t, tt.id).Matches(pattern); got != tt.want {
			t.Errorf("%s matches %s: %v", tt.id, tt.pattern, got)
		}
		if pattern.IsPattern() != strings.Contains(tt.pattern, "=*") || pattern.String() != mustIdentity(t, pattern.String()).String() {
			t.Errorf("%s is taken for %s", tt.pattern, pattern)
		}
	}
	// The peer has a '*' in its Name: it is nobody.
	hostile := mustIdentity(t, "CN=*, O=Example")
	for _, pattern := range []string{"CN=*, O=Example", "CN=left, O=Example", "*"} {
		if hostile.Matches(mustIdentity(t, pattern)) {
			t.Errorf("%s matches %s", hostile, pattern)
		}
	}
	// Several attributes in a set are compared as they are: a pattern has none.
	set := ID{wire.IDDERDN, string(unhex(t, "301e 311c 3009 0603 550403 0c02 6c65 300f 0603 55040a 0c08 4578616d706c6532"))}
	if set.Matches(mustIdentity(t, "CN=*")) || !set.Matches(set) {
		t.Error("a set of attributes is taken for one of them")
	}
}

// A name is within a base that it begins with. What rules beyond ASCII might make equal is not
// sure, unless an RDN before or behind it differs for certain.
func TestWithin(t *testing.T) {
	for name, tt := range map[string]struct {
		id, base     string
		within, sure bool
	}{
		"the same":                   {"O=Example, CN=x", "O=Example, CN=x", true, true},
		"below":                      {"O=Example, CN=x", "o=EXAMPLE", true, true},
		"above":                      {"O=Example", "O=Example, CN=x", false, true},
		"beside":                     {"O=Other, CN=x", "O=Example", false, true},
		"another attribute":          {"OU=Example", "O=Example", false, true},
		"equal beyond ASCII":         {"O=\u00c4, CN=x", "O=\u00c4", true, true},
		"maybe equal":                {"O=\u00c4", "O=\u00e4", false, false},
		"maybe equal to ASCII":       {"O=\uff21", "O=A", false, false},
		"maybe, and then not":        {"O=\u00c4, CN=x", "O=\u00e4, CN=y", false, true},
		"maybe, and then equal":      {"O=\u00c4, CN=x", "O=\u00e4, CN=X", false, false},
		"beyond ASCII further below": {"O=Other, CN=\u00c4", "O=Example", false, true},
	} {
		if within, sure := mustIdentity(t, tt.id).Within(mustIdentity(t, tt.base)); within != tt.within || sure != tt.sure {
			t.Errorf("%s: %v, sure %v", name, within, sure)
		}
	}
	good, empty := mustIdentity(t, "O=Example"), ID{wire.IDDERDN, "\x30\x00"}
	if within, sure := good.Within(empty); !within || !sure {
		t.Error("a name is not below that of no RDNs")
	}
	number := ID{wire.IDDERDN, string(unhex(t, "300c 310a 3008 0603 55040a 0201 05"))}
	control := ID{wire.IDDERDN, string(unhex(t, "300d 310b 3009 0603 55040a 0c02 4101"))}
	for name, other := range map[string]ID{"malformed": {wire.IDDERDN, "\x30"}, "octets behind": {wire.IDDERDN, good.Data + "x"}, "of a number": number, "of a control character": control, "of another type": mustIdentity(t, "example.com")} {
		if within, sure := good.Within(other); within || sure {
			t.Errorf("%s as base: %v, sure %v", name, within, sure)
		}
		if within, sure := other.Within(good); within || sure {
			t.Errorf("%s: %v, sure %v", name, within, sure)
		}
	}
}
