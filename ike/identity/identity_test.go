package identity

import (
	"encoding/hex"
	"strings"
	"testing"

	"culvert/ike/wire"
)

func mustIdentity(t testing.TB, s string) ID {
	t.Helper()
	id, err := Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return id
}

func TestParseIdentityTypeByForm(t *testing.T) {
	for _, c := range []struct {
		in   string
		typ  wire.IDType
		hex  string
		text string // what String returns; empty: the same as in
	}{
		{"192.0.2.1", wire.IDIPv4Addr, "c0000201", ""},
		{"::ffff:192.0.2.1", wire.IDIPv4Addr, "c0000201", "192.0.2.1"},
		{"2001:DB8::1", wire.IDIPv6Addr, "20010db8000000000000000000000001", "2001:db8::1"},
		{" left.example.com. ", wire.IDFQDN, hex.EncodeToString([]byte("left.example.com")), "left.example.com"},
		{"left", wire.IDFQDN, hex.EncodeToString([]byte("left")), ""},
		{"*.example.com", wire.IDFQDN, hex.EncodeToString([]byte("*.example.com")), ""},
		{"user@example.com", wire.IDRFC822, hex.EncodeToString([]byte("user@example.com")), ""},
		{"*@example.com", wire.IDRFC822, hex.EncodeToString([]byte("*@example.com")), ""},
		{"keyid:C0ffee", wire.IDKeyID, "c0ffee", "keyid:c0ffee"},
		{"keyid-text:hub 1", wire.IDKeyID, "6875622031", "keyid:6875622031"},
		{"CN=left, O=Example", wire.IDDERDN, "3021310d300b060355040313046c6566743110300e060355040a13074578616d706c65", ""},
		{`cn = Müller\, Söhne , O="A, B"`, wire.IDDERDN, "", `CN=Müller\, Söhne, O=A\, B`},
		{"DC=com, DC=example, E=a@example.com", wire.IDDERDN, "", ""},
	} {
		id := mustIdentity(t, c.in)
		if c.text == "" {
			c.text = c.in
		}
		if id.Type != c.typ || id.String() != c.text || c.hex != "" && hex.EncodeToString([]byte(id.Data)) != c.hex {
			t.Errorf("Parse(%q) = type %d, %x, %q; want %d, %s, %q", c.in, id.Type, id.Data, id, c.typ, c.hex, c.text)
		}
		if again := mustIdentity(t, id.String()); again != id {
			t.Errorf("%q read again gives %+v, want %+v", id, again, id)
		}
	}
}

func TestParseIdentityErrorsNameTheRemedy(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "use an address",
		"192.0.2.1/24":     "without a prefix length",
		"300.1.1.1":        "looks like an IP address",
		"2001:db8::1%eth0": "omit",
		"keyid:xyz":        "for example keyid:c0ffee",
		"keyid:":           "hexadecimal",
		"keyid-text:":      "is empty",
		"keyid-text:" + strings.Repeat("a", 2049): "too long",
		"@left.example.com":                       `use "left.example.com"`,
		"a*.example.com":                          "whole first label",
		"*":                                       "whole first label",
		"*.*.example.com":                         "whole first label",
		"a b.example.com":                         "is not a name",
		"left..example.com":                       "is not a name",
		"user@":                                   "after the @",
		"us*er@example.com":                       "* alone",
		"CN=":                                     "use for example",
		"CN=left, banana=1":                       "unknown attribute",
		"CN=left, O":                              "use for example",
		"left\x1b[31m.example":                    `\x1b`,
		strings.Repeat("a", 300):                  "at most 255",
		"keyid:" + strings.Repeat("00", 3000):     "too long",
		"CN=" + strings.Repeat("a", 3000):         "too long",
		strings.Repeat("u", 400) + "@a.example":   "too long",
	} {
		_, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("Parse(%.40q): got %v, want an error with %q", in, err, want)
		}
	}
}

func TestIdentityMatches(t *testing.T) {
	for _, c := range []struct {
		id, pattern string
		want        bool
	}{
		{"LEFT.example.com", "left.Example.COM", true},
		{"left.example.com", "right.example.com", false},
		{"left.example.com", "*.example.com", true},
		{"a.b.EXAMPLE.com", "*.example.com", true},
		{"example.com", "*.example.com", false},
		{"leftexample.com", "*.example.com", false},
		{"*.example.com", "*.example.com", false},
		{"user@Example.com", "user@example.com", true},
		{"User@example.com", "user@example.com", false},
		{"user@example.com", "*@example.com", true},
		{"user@a.example.com", "*@example.com", false},
		{"user@a.example.com", "*@*.example.com", true},
		{"left.example.com", "*@left.example.com", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "2001:db8::1", false},
		{"keyid:00ff", "keyid:00ff", true},
		{"keyid:00ff", "keyid:00fe", false},
		{"cn=Left  Side, O=Example", "CN=left side, O=EXAMPLE", true},
		{"CN=left, O=Example", "O=Example, CN=left", false},
		{"CN=left", "CN=left, O=Example", false},
		{"CN=left", "O=left", false},
	} {
		if got := mustIdentity(t, c.id).Matches(mustIdentity(t, c.pattern)); got != c.want {
			t.Errorf("%q matches %q: got %v, want %v", c.id, c.pattern, got, c.want)
		}
	}
}

func TestIdentityFoldsOnlyASCII(t *testing.T) {
	kelvin := ID{wire.IDFQDN, "\u212a.example.com"} // folds to 'k' in Unicode
	if kelvin.Matches(mustIdentity(t, "k.example.com")) {
		t.Error("the Kelvin sign passed for a k")
	}
	if (ID{}).Matches(ID{}) {
		t.Error("nothing matched nothing")
	}
}

// The DN's string type may differ from ours: OpenSSL writes UTF8String, Go PrintableString.
func TestIdentityDNStringTypes(t *testing.T) {
	utf8DN := ID{wire.IDDERDN, string(unhex(t, "300f 310d 300b 0603 550403 0c04 6c656674"))}
	if !utf8DN.Matches(mustIdentity(t, "CN=left")) {
		t.Errorf("%q does not match CN=left", utf8DN)
	}
}

// TestCanonical: the canonical form is one for all spellings that match each other, and for no
// others but users whose names differ in case.
func TestCanonical(t *testing.T) {
	dn := func(hex string) ID { return ID{wire.IDDERDN, string(unhex(t, hex))} }
	fqdn := func(s string) ID { return ID{wire.IDFQDN, s} }
	mail := func(s string) ID { return ID{wire.IDRFC822, s} }
	for _, c := range []struct {
		name string
		a, b ID
		same bool
	}{
		{"case of a name", fqdn("Left.example.COM"), fqdn("left.example.com"), true},
		{"names", fqdn("left.example.com"), fqdn("right.example.com"), false},
		{"octets that are not UTF-8", fqdn("A\xff"), fqdn("A\xfe"), false},
		{"type", fqdn("left"), mail("left"), false},
		{"case of a domain", mail("bob@Example.com"), mail("bob@example.COM"), true},
		{"key ID", ID{wire.IDKeyID, "A"}, ID{wire.IDKeyID, "a"}, false},
		{"string types", dn("300f 310d 300b 0603 550403 0c04 6c656674"), dn("300f 310d 300b 0603 550403 1304 4c656674"), true},
		{"white space of a DN", mustIdentity(t, "CN=Left  One, O=Example"), mustIdentity(t, "cn=left one, o=EXAMPLE"), true},
		{"order of a DN", mustIdentity(t, "CN=left, O=Example"), mustIdentity(t, "O=Example, CN=left"), false},
		{"attributes", mustIdentity(t, "CN=left"), mustIdentity(t, "O=left"), false},
		{"order of a set", dn("301a 3118 300a 0603 550403 0c03 616263 300a 0603 55040a 1303 616263"),
			dn("301a 3118 300a 0603 55040a 0c03 414243 300a 0603 550403 1303 414243"), true},
		{"a set and a sequence", dn("301a 3118 300a 0603 550403 0c03 616263 300a 0603 55040a 1303 616263"), mustIdentity(t, "CN=abc, O=abc"), false},
		{"values without text", dn("300e 310c 300a 0603 550403 0203 010203"), dn("300e 310c 300a 0603 550403 0203 010204"), false},
		{"no DER", ID{wire.IDDERDN, "CN=left"}, ID{wire.IDDERDN, "CN=Left"}, false},
	} {
		if got := c.a.Canonical() == c.b.Canonical(); got != c.same {
			t.Errorf("%s: one canonical form: %v, want %v", c.name, got, c.same)
		}
		if got := c.a.Matches(c.b); got != c.same {
			t.Errorf("%s: Matches is %v, want %v", c.name, got, c.same)
		}
		if once := c.a.Canonical(); once.Canonical() != once {
			t.Errorf("%s: the canonical form has another one", c.name)
		}
	}
	if a, b := mail("Bob@example.com"), mail("bob@example.com"); a.Canonical() != b.Canonical() || a.Matches(b) {
		t.Error("the case of a user's name counts, or does not matter")
	}
}

func TestIdentityOfBounds(t *testing.T) {
	types := []wire.IDType{0, wire.IDIPv4Addr, wire.IDFQDN, wire.IDRFC822, wire.IDIPv6Addr, wire.IDDERDN, wire.IDDERGN, wire.IDKeyID, 99}
	ok := map[wire.IDType][]int{
		wire.IDIPv4Addr: {4}, wire.IDIPv6Addr: {16}, wire.IDFQDN: {1, 4, 16}, wire.IDRFC822: {1, 4, 16},
		wire.IDDERDN: {1, 4, 16, 520}, wire.IDDERGN: {1, 4, 16, 520}, wire.IDKeyID: {1, 4, 16, 520},
	}
	for _, typ := range types {
		for _, n := range []int{0, 1, 4, 16, 520, 65000} {
			id, err := FromPayload(&wire.ID{IDType: typ, Data: []byte(strings.Repeat("x", n))})
			want := false
			for _, good := range ok[typ] {
				want = want || good == n
			}
			if (err == nil) != want {
				t.Errorf("type %d, %d octets: err %v, want ok %v", typ, n, err, want)
			}
			if len(id.String()) > maxPrintedText+20 {
				t.Errorf("type %d, %d octets: printed as %d characters", typ, n, len(id.String()))
			}
		}
	}
}

func TestIdentityOfRefusesTerminators(t *testing.T) {
	for _, data := range []string{"left\x00.example.com", "left\r\n", "\x1b[31mleft", "a\x7f@b"} {
		for _, typ := range []wire.IDType{wire.IDFQDN, wire.IDRFC822} {
			if _, err := FromPayload(&wire.ID{IDType: typ, Data: []byte(data)}); err == nil || !IsText(err.Error()) {
				t.Errorf("type %d, %q: got %v, want an error without control characters", typ, data, err)
			}
		}
	}
}

func TestIdentityStringIsHarmless(t *testing.T) {
	for _, data := range []string{"a\x1b[2Jb", "a\nb", "\u202eevil", "%s%n", "$(reboot);`id`", "\xff\xfe", strings.Repeat("\x00", 5000)} {
		for _, typ := range []wire.IDType{wire.IDIPv4Addr, wire.IDFQDN, wire.IDRFC822, wire.IDIPv6Addr, wire.IDDERDN, wire.IDKeyID, 77} {
			s := ID{typ, data}.String()
			if !IsText(s) || strings.Contains(s, "\u202e") || len(s) > maxPrintedText+20 {
				t.Errorf("type %d, %q printed as %q", typ, data, s)
			}
		}
	}
}

func TestIdentityPayloadRoundTrip(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "2001:db8::1", "left.example.com", "u@example.com", "CN=left", "keyid:00"} {
		id := mustIdentity(t, s)
		p := id.Payload(true)
		got, err := FromPayload(p)
		if err != nil || got != id || !p.Responder {
			t.Errorf("%q: payload %+v read as %+v, %v", s, p, got, err)
		}
	}
}

// unhex reads hexadecimal digits with any white space between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMailWithoutDomain: a mail address that has no domain matches itself alone, octet by octet.
func TestMailWithoutDomain(t *testing.T) {
	mail := func(s string) ID { return ID{wire.IDRFC822, s} }
	for _, tt := range []struct {
		id, pattern string
		want        bool
	}{
		{"user", "user", true},
		{"user", "other", false},
		{"user", "User", false},
		{"@example.com", "@example.com", true},
		{"@example.com", "*@example.com", false},
		{"user", "user@example.com", false},
		{"user@example.com", "user", false},
	} {
		if got := mail(tt.id).Matches(mail(tt.pattern)); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.id, tt.pattern, got, tt.want)
		}
	}
}

// TestApart has two identities that differ in nothing but their type shown with it.
func TestApart(t *testing.T) {
	name, mail := ID{wire.IDFQDN, "right.example.com"}, ID{wire.IDRFC822, "right.example.com"}
	for _, c := range []struct {
		a, b   ID
		wa, wb string
	}{
		{name, ID{wire.IDFQDN, "left.example.com"}, "right.example.com", "left.example.com"},
		{name, mail, "ID_FQDN right.example.com", "ID_RFC822_ADDR right.example.com"},
	} {
		if a, b := Apart(c.a, c.b); a != c.wa || b != c.wb {
			t.Errorf("Apart gives %q and %q, want %q and %q", a, b, c.wa, c.wb)
		}
	}
}
