package identity

import (
	"testing"

	"culvert/ike/wire"
)

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
		{"left.example.com", "*", true},
		{"user@example.com", "*", true},
		{"192.0.2.1", "*", true},
		{"2001:db8::1", "*", true},
		{"keyid:00ff", "*", true},
		{"CN=left, O=Example", "*", true},
		{"*", "*", false},
		{"*.example.com", "*", false},
		{"left.example.com", "CN=left", false},
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
	if (ID{}).Matches(ID{}) || (ID{}).Matches(Any) {
		t.Error("nothing matched nothing")
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
