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
		{" *", 0, hex.EncodeToString([]byte("*")), "*"},
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
		"keyid-text:*":                            "* alone for any identity",
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

// TestNamesOfHosts: every letter and digit, '-' and '_' make a label of at most 63 octets, and
// labels a name of at most 255.
func TestNamesOfHosts(t *testing.T) {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	label := strings.Repeat("a", 63)
	long := strings.Repeat(label+".", 3)
	for in, want := range map[string]bool{
		letters + "-_0123456789":                     true,
		strings.ToUpper(letters):                     true,
		label + ".example":                           true,
		label + "a.example":                          false,
		long + label:                                 true, // 255 octets
		long + label[:62] + ".b":                     false,
		"a@" + long + label:                          true,
		strings.Repeat("u", 64) + "@" + long + label: true, // 320
		strings.Repeat("u", 65) + "@" + long + label: false,
		"a`": false, "a{": false, "a@[": false, "a/b": false, "a:b": false, "a\u00e9": false, "a;": false,
		"\u0161=x": false, "a-b=c": false, // no distinguished names
	} {
		if _, err := Parse(in); (err == nil) != want {
			t.Errorf("%q: %v", in, err)
		}
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
