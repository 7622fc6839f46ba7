package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// FuzzIdentifier: no input panics, and what is accepted is one of the algorithms, whose own
// identifier means the same.
func FuzzIdentifier(f *testing.F) {
	for _, v := range identifiers {
		f.Add(unhex(f, v.der))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		a, err := parseIdentifier(der)
		if err != nil {
			if a != (algorithm{}) || err.Error() == "" {
				t.Fatalf("%v and %v", a, err)
			}
			return
		}
		if again, err := parseIdentifier(a.identifier()); err != nil || again != a {
			t.Fatalf("%v is %v when it is sent, %v", a, again, err)
		}
	})
}

// FuzzAuth: no AUTH data panic, and none but those of the key's owner are a signature.
func FuzzAuth(f *testing.F) {
	for _, v := range identifiers {
		der := unhex(f, v.der)
		f.Add(byte(wire.AuthDigitalSignature), append(append([]byte{byte(len(der))}, der...), make([]byte, 256)...))
	}
	for _, m := range []wire.AuthMethod{wire.AuthRSASignature, wire.AuthECDSAP256, wire.AuthECDSAP384, wire.AuthECDSAP521} {
		f.Add(byte(m), bytes.Repeat([]byte{1}, 64))
	}
	signers := []string{"rsa2048", "p256", "p384", "p521", "ed25519"}
	for i, kind := range signers {
		signers[i] = string(certtest.SPKI(f, certtest.Key(f, kind).Public()))
	}
	f.Fuzz(func(t *testing.T, method byte, data []byte) {
		for _, der := range signers {
			key, err := x509.ParsePKIXPublicKey([]byte(der))
			if err != nil {
				t.Fatal(err)
			}
			for _, announced := range []bool{true, false} {
				auth := &wire.Auth{Method: wire.AuthMethod(method), Data: data}
				if CheckAuth(key, octets, auth, announced, Preferences{SHA1: true}) == nil {
					t.Fatalf("a signature by %s was found", KeyName(key))
				}
			}
		}
	})
}

// seeds returns the certificates of testdata/seeds.pem. The first one is the root of the others; of
// them, some are authorities with name constraints, and some follow on their authority.
func seeds(t testing.TB) (list []*x509.Certificate) {
	t.Helper()
	text, err := os.ReadFile("testdata/seeds.pem")
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// FuzzSent: no certificate panics, every error is short text, and nothing leads to an authority
// that did not sign it.
func FuzzSent(f *testing.F) {
	certs := seeds(f)
	root, trust := certs[0], NewTrust(certs[:1])
	for i, c := range certs {
		f.Add(c.Raw, certs[max(i-1, 0)].Raw)
	}
	id, err := identity.Parse("left.example.com")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		ps := []wire.Payload{
			&wire.Cert{Encoding: wire.CertX509Signature, Data: first}, &wire.Cert{Encoding: wire.CertX509Signature, Data: second},
			&wire.Cert{Encoding: wire.CertRawPublicKey, Data: second},
		}
		for _, ps := range [][]wire.Payload{ps[:1], ps[:2], ps[2:]} {
			s, err := ParseSent(ps)
			if err == nil && s.Leaf != nil {
				_ = Match(s.Leaf, id)
				var chain []*x509.Certificate
				if chain, err = trust.Verify(s, now); err == nil && !chain[len(chain)-1].Equal(root) {
					t.Fatal("a chain ends at another root")
				}
			}
			if err != nil && (len(err.Error()) > 1024 || !identity.IsText(err.Error())) {
				t.Fatalf("an error of %d octets: %v", len(err.Error()), err)
			}
		}
	})
}

// FuzzMethods: no announcement of methods panics, and what is read of it is bounded and known.
func FuzzMethods(f *testing.F) {
	f.Add(AnnounceMethods(true, nil).Data, []byte{})
	f.Add([]byte{3, 1, 7, 2, 2, 2, 13, 0}, make([]byte, 45))
	f.Fuzz(func(t *testing.T, data, cas []byte) {
		m := ParseMethods([]wire.Payload{&wire.CertReq{Encoding: wire.CertX509Signature, Data: cas}, &wire.Notify{Kind: wire.SupportedAuthMethods, Data: data}})
		if len(m.list) > maxMethods || len(m.list) > len(data)/2 {
			t.Fatalf("%d methods in %d octets", len(m.list), len(data))
		}
		for _, o := range m.list {
			digital := o.method == wire.AuthDigitalSignature
			if digital != (o.algorithm != algorithm{}) || digital && !m.digital(o.algorithm) || !digital && o.method != wire.AuthSharedKey && !IsSignature(o.method) {
				t.Fatalf("%+v", o)
			}
		}
	})
}
