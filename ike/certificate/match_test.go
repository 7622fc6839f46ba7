package certificate

import (
	"strings"
	"testing"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/certtest"
)

func TestMatch(t *testing.T) {
	root := certtest.CA(t, "root", "ed25519", nil)
	c := root.Issue(t, "left", "ed25519", "left.example.com", "*.wild.example.com", "user@example.com", "192.0.2.1", "2001:db8::1").Cert
	for text, want := range map[string]bool{
		"left.example.com": true, "LEFT.example.COM": true, "left.example.com.": true, "right.example.com": false, "example.com": false,
		"a.wild.example.com": false, // a wildcard of a certificate matches nothing
		"user@example.com":   true, "User@EXAMPLE.com": true, "other@example.com": false,
		"192.0.2.1": true, "192.0.2.2": false, "2001:db8::1": true, "2001:db8::2": false,
		"O=Example, CN=left": true, "o=example, cn=LEFT": true, "O=Example,  CN = left": true, "CN=left, O=Example": false, "CN=left": false,
		"keyid:6c656674":       false,
		"keyid-text:left":      false,
		"left.example.com.org": false,
	} {
		id, err := identity.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := Match(c, id); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// An identity of one type is not found among the names of another, and nothing that a hostile peer
// may send as its identity matches more than itself.
func TestMatchIsLiteral(t *testing.T) {
	root := certtest.CA(t, "root", "ed25519", nil)
	c := root.Issue(t, "left", "ed25519", "192.0.2.1", "left.example.com", "*.example.com").Cert
	for name, id := range map[string]identity.ID{
		"an address as a name":  {Type: wire.IDFQDN, Data: "192.0.2.1"},
		"a name as a mail":      {Type: wire.IDRFC822, Data: "left.example.com"},
		"a pattern":             {Type: wire.IDFQDN, Data: "*.example.com"},
		"any":                   identity.Any,
		"nothing":               {},
		"an empty name":         {Type: wire.IDFQDN},
		"an empty subject":      {Type: wire.IDDERDN, Data: "\x30\x00"},
		"the subject and more":  {Type: wire.IDDERDN, Data: string(c.RawSubject) + "\x00"},
		"the subject as a name": {Type: wire.IDFQDN, Data: "left"},
		"a general name":        {Type: wire.IDDERGN, Data: string(c.RawSubject)},
		"NUL behind":            {Type: wire.IDFQDN, Data: "left.example.com\x00.example.org"},
	} {
		if Match(c, id) == nil {
			t.Errorf("%s matches", name)
		}
	}
	empty := root.Issue(t, "", "ed25519", "left.example.com").Cert
	if Match(empty, identity.ID{Type: wire.IDDERDN, Data: "\x30\x00"}) == nil {
		t.Error("the empty subject is an identity")
	}
	err := Match(c, identity.ID{Type: wire.IDFQDN, Data: "right.example.com"})
	if want := "its certificate O=Example, CN=left is not for its identity right.example.com; it is for: left.example.com; *.example.com; 192.0.2.1; O=Example, CN=left"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	err = Match(c, identity.ID{Type: wire.IDKeyID, Data: "left"})
	if err == nil || !strings.Contains(err.Error(), "stands in no certificate") {
		t.Errorf("%v", err)
	}
}

func TestDefaultID(t *testing.T) {
	root := certtest.CA(t, "root", "ed25519", nil)
	for want, c := range map[string]*certtest.Pair{
		"left.example.com":   root.Issue(t, "left", "ed25519", "*.example.com", "left.example.com", "192.0.2.1"),
		"user@example.com":   root.Issue(t, "left", "ed25519", "user@example.com", "192.0.2.1"),
		"192.0.2.1":          root.Issue(t, "left", "ed25519", "192.0.2.1"),
		"O=Example, CN=left": root.Issue(t, "left", "ed25519", "*.example.com"),
	} {
		id, ok := DefaultID(c.Cert)
		if !ok || id.String() != want {
			t.Errorf("%s, %v, want %s", id, ok, want)
		}
		if err := Match(c.Cert, id); err != nil {
			t.Error(err)
		}
	}
	if id, ok := DefaultID(root.Issue(t, "", "ed25519").Cert); ok {
		t.Errorf("without any name: %s", id)
	}
}
