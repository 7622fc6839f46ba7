package certificate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"slices"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/certtest"
)

func methodsOf(data ...[]byte) []wire.Payload {
	return []wire.Payload{&wire.Notify{Kind: wire.Cookie}, &wire.Notify{Kind: wire.SupportedAuthMethods, Data: slices.Concat(data...)}}
}

// The octets are those of RFC 9593, Section 3.2, with the identifiers of RFC 7427, Appendix A, and
// RFC 8420, Appendix A.1.
func TestAnnounceMethods(t *testing.T) {
	ed, p256 := certtest.Key(t, "ed25519").Public(), certtest.Key(t, "p256").Public()
	edOctets := unhex(t, "0a 0e 00 3005 0603 2b6570")
	ecOctets := unhex(t, "0f 0e 00 300a 0608 2a8648ce3d040302 0f 0e 00 300a 0608 2a8648ce3d040303 0f 0e 00 300a 0608 2a8648ce3d040304")
	for name, tt := range map[string]struct {
		n    *wire.Notify
		want []byte
	}{
		"a pre-shared key": {AnnouncePSK(), []byte{2, 2}},
		"one key":          {AnnounceMethods(false, []crypto.PublicKey{ed}), edOctets},
		"two keys":         {AnnounceMethods(false, []crypto.PublicKey{p256, ed}), append(slices.Clone(edOctets), ecOctets...)},
		"no key":           {AnnounceMethods(false, nil), nil},
	} {
		if tt.n.Kind != wire.SupportedAuthMethods || !bytes.Equal(tt.n.Data, tt.want) {
			t.Errorf("%s: %x, want %x", name, tt.n.Data, tt.want)
		}
	}
	data := AnnounceMethods(true, nil).Data
	m := ParseMethods(methodsOf(data))
	if len(m.list) != len(announceable) || len(data) > 320 || !bytes.HasPrefix(data, edOctets) || m.PSK() {
		t.Errorf("%d methods in %d octets", len(m.list), len(data))
	}
	for _, a := range announceable {
		if !m.digital(a) {
			t.Errorf("%v is not announced", a)
		}
	}
	for kind, count := range map[string]int{"rsa2048": 6, "p384": 3, "ed25519": 1} {
		if m := ParseMethods(methodsOf(AnnounceMethods(false, []crypto.PublicKey{certtest.Key(t, kind).Public()}).Data)); len(m.list) != count {
			t.Errorf("%s: %d methods, want %d", kind, len(m.list), count)
		}
	}
}

func TestMergeMethods(t *testing.T) {
	ed := AnnounceMethods(false, []crypto.PublicKey{certtest.Key(t, "ed25519").Public()})
	ec := AnnounceMethods(false, []crypto.PublicKey{certtest.Key(t, "p256").Public()})
	for name, tt := range map[string]struct {
		list []*wire.Notify
		want [][]byte // nil: there is none
	}{
		"nothing":            {nil, nil},
		"secrets alone":      {[]*wire.Notify{AnnouncePSK(), AnnouncePSK()}, [][]byte{announcedPSK}},
		"one":                {[]*wire.Notify{ed}, [][]byte{ed.Data}},
		"both, once each":    {[]*wire.Notify{ec, AnnouncePSK(), ed, ec, AnnouncePSK()}, [][]byte{ed.Data, ec.Data, announcedPSK}},
		"none that is known": {[]*wire.Notify{{Data: []byte{3, 1, 0}}}, nil},
	} {
		got := mergeMethods(tt.list)
		if tt.want == nil {
			if got != nil {
				t.Errorf("%s: %x", name, got.Data)
			}
			continue
		}
		if got == nil || !bytes.Equal(got.Data, slices.Concat(tt.want...)) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if LeavesChoice(nil) || LeavesChoice([]wire.Payload{AnnouncePSK()}) || !LeavesChoice([]wire.Payload{Announcement(), ed}) {
		t.Error("there is a choice, or none")
	}
	ps := Merge([]wire.Payload{ed, Announcement(), AnnouncePSK()})
	if n, ok := wire.FindNotify(ps, wire.SupportedAuthMethods); len(ps) != 2 || !ok || !bytes.HasSuffix(n.Data, announcedPSK) {
		t.Errorf("merged: %v", ps)
	}
	if left := WithoutMethods(ps); len(left) != 1 || left[0].(*wire.Notify).Kind != wire.SignatureHashAlgorithms {
		t.Errorf("without methods: %v", left)
	}
}

// What is malformed counts as nothing announced, what is not known is skipped, and the rest is
// read.
func TestParseMethods(t *testing.T) {
	ed := algorithm{eddsa, Identity}.announced()
	for name, tt := range map[string]struct {
		data  []byte
		psk   bool
		count int
	}{
		"none":                              {nil, false, 0},
		"a secret":                          {[]byte{2, 2}, true, 1},
		"the old methods":                   {[]byte{3, 1, 0, 3, 9, 0, 3, 10, 0, 3, 11, 0}, false, 4},
		"DSS, NULL, and one to come":        {[]byte{3, 3, 0, 2, 13, 3, 200, 0, 4, 200, 1, 2, 2, 2}, true, 1},
		"a secret with a link":              {[]byte{3, 2, 0}, false, 0},
		"a signature without a link":        {[]byte{2, 14, 2, 1}, false, 0},
		"Digital Signature with none":       {[]byte{3, 14, 0}, false, 0},
		"an old method with an algorithm":   {append([]byte{ed[0], 1}, ed[2:]...), false, 0},
		"an algorithm that is not known":    {slices.Concat(unhex(t, "0a 0e 00 3005 0603 2b6571"), ed), false, 1},
		"one with octets behind it":         {append(append([]byte{ed[0] + 1}, ed[1:]...), 0), false, 0},
		"length 0":                          {append(slices.Clone(ed), 0, 2), false, 0},
		"length 1":                          {append(slices.Clone(ed), 1, 2), false, 0},
		"cut":                               {append(slices.Clone(ed), 3, 1), false, 0},
		"one octet":                         {append(slices.Clone(ed), 2), false, 0},
		"very many":                         {bytes.Repeat([]byte{2, 2}, 500), true, maxMethods},
		"very many, and a malformed behind": {append(bytes.Repeat([]byte{2, 2}, 500), 7), true, maxMethods},
	} {
		m := ParseMethods(methodsOf(tt.data))
		if m.PSK() != tt.psk || len(m.list) != tt.count || m.Announced() != (tt.count > 0) {
			t.Errorf("%s: %+v", name, m)
		}
	}
	if ParseMethods(nil).Announced() {
		t.Error("methods that nobody announced")
	}
	whole := AnnounceMethods(true, nil).Data
	for n := range whole {
		m := ParseMethods(methodsOf(whole[:n]))
		ends := 0
		for at, i := 0, 0; at <= n && i < len(announceable); i++ {
			if at += int(whole[at]); at == n {
				ends = i + 1
			}
		}
		if len(m.list) != ends {
			t.Errorf("%d octets: %d methods, want %d", n, len(m.list), ends)
		}
	}
}

// A method with a cert link is for the certificates of that authority alone. Authorities count over
// all CERTREQ payloads that list any.
func TestMethodsAreLinked(t *testing.T) {
	a, b := certtest.CA(t, "a", "ed25519", nil), certtest.CA(t, "b", "ed25519", nil)
	of := func(ca *certtest.Pair) []*x509.Certificate {
		return ca.Issue(t, "left", "p256", "left.example.com").Chain()
	}
	ec := algorithm{dsaOnEC, SHA256}.announced()
	link := func(n byte) []byte { out := slices.Clone(ec); out[2] = n; return out }
	trust := NewTrust([]*x509.Certificate{a.Cert, b.Cert})
	for name, tt := range map[string]struct {
		requests         []wire.Payload
		link             byte
		ofA, ofB, rawKey bool
	}{
		"no link":                   {[]wire.Payload{request([]*x509.Certificate{a.Cert})}, 0, true, true, true},
		"the first":                 {[]wire.Payload{request([]*x509.Certificate{a.Cert, b.Cert})}, 1, true, false, false},
		"the second":                {[]wire.Payload{request([]*x509.Certificate{a.Cert, b.Cert})}, 2, false, true, false},
		"the second, in another":    {[]wire.Payload{request([]*x509.Certificate{a.Cert}), RequestOCSP(), request([]*x509.Certificate{b.Cert})}, 2, false, true, false},
		"past the last":             {[]wire.Payload{request([]*x509.Certificate{a.Cert, b.Cert})}, 3, false, false, false},
		"without CERTREQ, as 0":     {nil, 7, true, true, true},
		"raw keys are no authority": {[]wire.Payload{RequestRawKey()}, 1, true, true, true},
	} {
		m := ParseMethods(append(tt.requests, methodsOf(link(tt.link))...))
		key := certtest.Key(t, "p256").Public()
		for _, c := range []struct {
			chain []*x509.Certificate
			want  bool
		}{{of(a), tt.ofA}, {of(b), tt.ofB}, {nil, tt.rawKey}} {
			if got := m.For(trust, c.chain).Accept(key, all); got != c.want {
				t.Errorf("%s, chain of %d: %v", name, len(c.chain), got)
			}
		}
	}
}

// A key signs by what the peer has announced, if it can, and otherwise as if nothing were.
func TestSignByMethods(t *testing.T) {
	announce := func(list ...algorithm) Methods {
		var data []byte
		for _, a := range list {
			data = append(data, a.announced()...)
		}
		return ParseMethods(methodsOf(data))
	}
	for name, tt := range map[string]struct {
		key  string
		peer Hashes
		m    Methods
		p    Preferences
		want algorithm
	}{
		"nothing":                  {"rsa2048", all, Methods{}, Preferences{}, algorithm{pss, SHA256}},
		"the other padding":        {"rsa2048", all, announce(algorithm{pkcs1, SHA256}), Preferences{}, algorithm{pkcs1, SHA256}},
		"the other padding, PSS":   {"rsa2048", all, announce(algorithm{pss, SHA384}), Preferences{PKCS1: true}, algorithm{pss, SHA384}},
		"both paddings":            {"rsa2048", all, announce(algorithm{pss, SHA256}, algorithm{pkcs1, SHA256}), Preferences{PKCS1: true}, algorithm{pkcs1, SHA256}},
		"another hash":             {"p256", all, announce(algorithm{eddsa, Identity}, algorithm{dsaOnEC, SHA512}), Preferences{}, algorithm{dsaOnEC, SHA512}},
		"a hash that it lacks":     {"p256", 1 | 1<<SHA256, announce(algorithm{dsaOnEC, SHA512}), Preferences{}, algorithm{dsaOnEC, SHA256}},
		"nothing of our key":       {"p384", all, announce(algorithm{eddsa, Identity}), Preferences{}, algorithm{dsaOnEC, SHA384}},
		"the best of many, not 1.": {"p384", all, announce(algorithm{dsaOnEC, SHA256}, algorithm{dsaOnEC, SHA384}), Preferences{}, algorithm{dsaOnEC, SHA384}},
	} {
		auth, err := Sign(certtest.Key(t, tt.key), octets, tt.peer, tt.m, tt.p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a, err := parseIdentifier(auth.Data[1 : 1+auth.Data[0]]); err != nil || a != tt.want {
			t.Errorf("%s: signed by %v, %v, want %v", name, a, err, tt.want)
		}
	}
}

func TestMethodsAccept(t *testing.T) {
	old := ParseMethods(methodsOf([]byte{3, 10, 0, 2, 2}))
	digital := ParseMethods(methodsOf(algorithm{dsaOnEC, SHA256}.announced()))
	for name, tt := range map[string]struct {
		m    Methods
		key  string
		peer Hashes
		want bool
	}{
		"nothing announced":        {Methods{}, "p384", all, false},
		"old, of the curve":        {old, "p384", 0, true},
		"old, of another":          {old, "p256", 0, false},
		"old, RSA":                 {ParseMethods(methodsOf([]byte{3, 1, 0})), "rsa2048", 0, true},
		"old, RSA of none":         {old, "rsa2048", 0, false},
		"old, Ed25519":             {old, "ed25519", 0, false},
		"old, the peer is new":     {old, "p384", all, false},
		"digital":                  {digital, "p521", all, true},
		"digital, Ed25519":         {digital, "ed25519", all, false},
		"digital, the peer is old": {digital, "p256", 0, false},
		"digital, without a hash":  {digital, "p256", 1 | 1<<SHA384, false},
	} {
		if got := tt.m.Accept(certtest.Key(t, tt.key).Public(), tt.peer); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
