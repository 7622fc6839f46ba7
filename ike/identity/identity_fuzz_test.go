package identity

import (
	"testing"

	"culvert/ike/wire"
)

// FuzzParse reads any text as an identity. What is accepted reads the same as it is printed.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "2001:db8::1", "left.example.com", "*.example.com", "a@example.com", "CN=left, O=Example\\, Inc.", "CN=*+OU=x", "keyid:c0ffee", "keyid-text:branch", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		if err != nil {
			if !IsText(err.Error()) {
				t.Fatalf("the error of %q is %q", s, err)
			}
			return
		}
		again, err := Parse(id.String())
		if err != nil || again != id && again.Canonical() != id.Canonical() {
			t.Fatalf("%q is printed as %q, which is %v, %v", s, id, again, err)
		}
		if !id.IsPattern() && !id.Matches(id) {
			t.Fatalf("%q does not match itself", s)
		}
	})
}

// FuzzPayload reads any ID payload of a peer. Its text is harmless and bounded, and no identity of
// a peer is a pattern that matches others.
func FuzzPayload(f *testing.F) {
	own, err := Parse("CN=left, O=Example")
	if err != nil {
		f.Fatal(err)
	}
	for _, typ := range []wire.IDType{wire.IDIPv4Addr, wire.IDFQDN, wire.IDRFC822, wire.IDIPv6Addr, wire.IDDERDN, wire.IDDERGN, wire.IDKeyID, wire.IDNull, 200} {
		f.Add(byte(typ), []byte("*.example.com"))
		f.Add(byte(typ), []byte("a@\x1b[2J%s\n"))
		f.Add(byte(typ), []byte{192, 0, 2, 1})
		f.Add(byte(typ), []byte(own.Data))
	}
	var patterns []ID
	for _, s := range []string{"left.example.com", "192.0.2.1", "CN=left, O=Example", "a@example.com"} {
		id, err := Parse(s)
		if err != nil {
			f.Fatal(err)
		}
		patterns = append(patterns, id)
	}
	f.Fuzz(func(t *testing.T, typ byte, data []byte) {
		id, err := FromPayload(&wire.ID{IDType: wire.IDType(typ), Data: data})
		if err != nil {
			if !IsText(err.Error()) {
				t.Fatalf("the error of %x is %q", data, err)
			}
			return
		}
		if text := id.String(); !IsText(text) || len(text) > 4096 {
			t.Fatalf("%x is printed as %q", data, text)
		}
		for _, p := range patterns {
			if id.Matches(p) != (id.Canonical() == p.Canonical()) && id.Type != wire.IDRFC822 {
				t.Fatalf("%v matches %v: %v", id, p, id.Matches(p))
			}
		}
		if c := id.Canonical(); c.Canonical() != c {
			t.Fatalf("the canonical form of %v is not canonical", id)
		}
	})
}
