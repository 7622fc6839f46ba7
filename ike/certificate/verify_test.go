package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"math/big"
	"slices"
	"strings"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// The signatures of RFC 4754, Section 8, over the message "abc".
func TestOldECDSA(t *testing.T) {
	for _, v := range []struct {
		curve     elliptic.Curve
		method    wire.AuthMethod
		x, y, sig string
	}{
		{
			elliptic.P256(), wire.AuthECDSAP256,
			"2442A5CC 0ECD015F A3CA31DC 8E2BBC70 BF42D60C BCA20085 E0822CB0 4235E970",
			"6FC98BD7 E50211A4 A27102FA 3549DF79 EBCB4BF2 46B80945 CDDFE7D5 09BBFD7D",
			`CB28E099 9B9C7715 FD0A80D8 E47A7707 9716CBBF 917DD72E
			 97566EA1 C066957C 86FA3BB4 E26CAD5B F90B7F81 899256CE 7594BB1E A0C89212 748BFF3B 3D5B0315`,
		},
		{
			elliptic.P384(), wire.AuthECDSAP384,
			`96281BF8 DD5E0525 CA049C04 8D345D30 82968D10 FEDF5C5A CA0C64E6 465A97EA 5CE10C9D FEC21797 41571072 1F437922`,
			`447688BA 94708EB6 E2E4D59F 6AB6D7ED FF9301D2 49FE49C3 3096655F 5D502FAD 3D383B91 C5E7EDAA 2B714CC9 9D5743CA`,
			`FB017B91 4E291494 32D8BAC2 9A514640 B46F53DD AB2C6994
			 8084E293 0F1C8F7E 08E07C9C 63F2D21A 07DCB56A 6AF56EB3 B263A130 5E057F98
			 4D38726A 1B468741 09F417BC A112674C 528262A4 0A629AF1 CBB9F516 CE0FA7D2 FF630863 A00E8B9F`,
		},
		{
			elliptic.P521(), wire.AuthECDSAP521,
			`0151518F 1AF0F563 517EDD54 85190DF9 5A4BF57B 5CBA4CF2 A9A3F647 4725A35F
			 7AFE0A6D DEB8BEDB CD6A197E 592D4018 8901CECD 650699C9 B5E456AE A5ADD190 52A8`,
			`006F3B14 2EA1BFFF 7E2837AD 44C9E4FF 6D2D34C7 3184BBAD 90026DD5 E6E85317
			 D9DF45CA D7803C6C 20035B2F 3FF63AFF 4E1BA64D 1C077577 DA3F4286 C58F0AEA E643`,
			`0154FD38 36AF92D0 DCA57DD5 341D3053 988534FD E8318FC6
			 AAAAB68E 2E6F4339 B19F2F28 1A7E0B22 C269D93C F8794A92 78880ED7 DBB8D936
			 2CAEACEE 54432055 22510177 05A70302 90D1CEB6 05A9A1BB 03FF9CDD 521E87A6
			 96EC926C 8C10C836 2DF49753 67101F67 D1CF9BCC BF2F3D23 9534FA50 9E70AAC8
			 51AE01AA C68D62F8 66472660`,
		},
	} {
		key, err := ecdsa.ParseUncompressedPublicKey(v.curve, slices.Concat([]byte{4}, unhex(t, v.x), unhex(t, v.y)))
		if err != nil {
			t.Fatal(err)
		}
		auth := &wire.Auth{Method: v.method, Data: unhex(t, v.sig)}
		if err := CheckAuth(key, []byte("abc"), auth, false, Preferences{}); err != nil {
			t.Errorf("%v: %v", v.method, err)
		}
		for n := range auth.Data {
			if err := CheckAuth(key, []byte("abc"), &wire.Auth{Method: v.method, Data: auth.Data[:n]}, false, Preferences{}); err == nil {
				t.Errorf("%v: the first %d octets are a signature", v.method, n)
			}
		}
		for _, wrong := range []wire.AuthMethod{wire.AuthRSASignature, wire.AuthECDSAP256, wire.AuthECDSAP384, wire.AuthECDSAP521} {
			if err := CheckAuth(key, []byte("abc"), &wire.Auth{Method: wrong, Data: auth.Data}, false, Preferences{}); wrong != v.method && err == nil {
				t.Errorf("%v passes for %v", v.method, wrong)
			}
		}
	}
}

// signedBy returns an AUTH payload of Digital Signature.
func signedBy(t *testing.T, key crypto.Signer, a algorithm) *wire.Auth {
	t.Helper()
	sig, err := a.sign(key, octets)
	if err != nil {
		t.Fatal(err)
	}
	return digital(a.identifier(), sig)
}

func digital(id, sig []byte) *wire.Auth {
	return &wire.Auth{Method: wire.AuthDigitalSignature, Data: append(append([]byte{byte(len(id))}, id...), sig...)}
}

// What is not a signature by the key, or by an algorithm that is not accepted, is refused.
func TestCheckAuthRefuses(t *testing.T) {
	rsaKey, ec, ed := certtest.Key(t, "rsa2048"), certtest.Key(t, "p256"), certtest.Key(t, "ed25519")
	good := signedBy(t, rsaKey, algorithm{pkcs1, SHA256})
	id := algorithm{pkcs1, SHA256}.identifier()
	old, err := Sign(rsaKey, octets, 0, Methods{}, Preferences{SHA1: true})
	if err != nil {
		t.Fatal(err)
	}
	n := rsaKey.Public().(*rsa.PublicKey).N.Bytes()
	for name, tt := range map[string]struct {
		key       crypto.PublicKey
		auth      *wire.Auth
		announced bool
		want      string
	}{
		"a pre-shared key":        {rsaKey.Public(), &wire.Auth{Method: wire.AuthSharedKey, Data: good.Data}, true, "not by a signature"},
		"DSS":                     {rsaKey.Public(), &wire.Auth{Method: wire.AuthDSSSignature, Data: good.Data}, false, "not by a signature"},
		"nothing announced":       {rsaKey.Public(), good, false, "sent no SIGNATURE_HASH_ALGORITHMS"},
		"old, although announced": {rsaKey.Public(), old, true, "but announced RFC 7427"},
		"SHA-1, old":              {rsaKey.Public(), old, false, "signs with SHA1, which is not accepted"},
		"SHA-1, RSA":              {rsaKey.Public(), signedBy(t, rsaKey, algorithm{pkcs1, SHA1}), true, "RSASSA-PKCS1-v1_5 with SHA1, which is not accepted"},
		"SHA-1, PSS":              {rsaKey.Public(), digital(unhex(t, identifiers["RSASSA-PSS, default"].der), make([]byte, 256)), true, "RSASSA-PSS with SHA1, which is not accepted"},
		"SHA-1, ECDSA":            {ec.Public(), signedBy(t, ec, algorithm{dsaOnEC, SHA1}), true, "ECDSA with SHA1, which is not accepted"},
		"another RSA key":         {certtest.Key(t, "rsa2048").Public(), good, true, "wrong"},
		"an ECDSA key":            {ec.Public(), good, true, "it signs by RSASSA-PKCS1-v1_5 with SHA2-256, but its key is ECDSA P-256"},
		"an Ed25519 key":          {ed.Public(), good, true, "but its key is Ed25519"},
		"ECDSA for an RSA key":    {rsaKey.Public(), signedBy(t, ec, algorithm{dsaOnEC, SHA256}), true, "but its key is RSA-2048"},
		"an octet more":           {rsaKey.Public(), digital(id, append(good.Data[1+len(id):len(good.Data):len(good.Data)], 0)), true, "wrong"},
		"an octet less":           {rsaKey.Public(), digital(id, good.Data[1+len(id):len(good.Data)-1]), true, "wrong"},
		"an empty signature":      {rsaKey.Public(), digital(id, nil), true, "wrong"},
		"the signature 0":         {rsaKey.Public(), digital(id, make([]byte, 256)), true, "wrong"},
		"the signature n":         {rsaKey.Public(), digital(id, n), true, "wrong"},
		"no data":                 {rsaKey.Public(), &wire.Auth{Method: wire.AuthDigitalSignature}, true, "malformed"},
		"a length beyond it":      {rsaKey.Public(), &wire.Auth{Method: wire.AuthDigitalSignature, Data: []byte{9, 1}}, true, "malformed"},
		"an empty ECDSA":          {ec.Public(), digital(algorithm{dsaOnEC, SHA256}.identifier(), nil), true, "wrong"},
		"r and s 0":               {ec.Public(), digital(algorithm{dsaOnEC, SHA256}.identifier(), inASN1(make([]byte, 64))), true, "wrong"},
		"r and s 0, old":          {ec.Public(), &wire.Auth{Method: wire.AuthECDSAP256, Data: make([]byte, 64)}, false, "wrong"},
		"an empty Ed25519":        {ed.Public(), digital(algorithm{eddsa, Identity}.identifier(), nil), true, "wrong"},
		"a short key":             {rsaOf(1024, 65537), good, true, "the peer has an RSA key of 1024 bits"},
	} {
		if err := CheckAuth(tt.key, octets, tt.auth, tt.announced, Preferences{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	for name, a := range map[string]algorithm{"good": {pkcs1, SHA512}, "PSS": {pss, SHA384}} {
		if err := CheckAuth(rsaKey.Public(), octets, signedBy(t, rsaKey, a), true, Preferences{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckAuth(rsaKey.Public(), octets, old, false, Preferences{SHA1: true}); err != nil {
		t.Errorf("SHA-1, allowed: %v", err)
	}
}

// The forgeries that lenient parsers of PKCS #1 v1.5 take for signatures: with octets behind the
// digest, or parameters in it, that belong there by no rule. The key is ours, so any block can be
// signed.
func TestForgedPKCS1(t *testing.T) {
	key := certtest.Key(t, "rsa2048").(*rsa.PrivateKey)
	digest := sha256.Sum256(octets)
	head := unhex(t, "3031 300d 0609 608648016503040201 0500 0420")
	noNULL := unhex(t, "302f 300b 0609 608648016503040201 0420")
	one := sha1.Sum(octets)
	for name, tt := range map[string]struct {
		info    []byte
		padding int // fewer octets of it than there should be
		good    bool
	}{
		"as it must be":      {info: append(head, digest[:]...), good: true},
		"a short padding":    {info: append(append(head, digest[:]...), make([]byte, 32)...)},
		"parameters absent":  {info: append(noNULL, digest[:]...)},
		"a short digest":     {info: append(head, digest[:31]...)},
		"no DigestInfo":      {info: digest[:]},
		"SHA-1 for SHA-256":  {info: append(unhex(t, "3021 3009 0605 2b0e03021a 0500 0414"), one[:]...)},
		"zeros as a padding": {info: append(head, digest[:]...), padding: 100},
	} {
		block := make([]byte, 256)
		block[1] = 1
		for i := 2; i < 255-len(tt.info)-tt.padding; i++ {
			block[i] = 0xff
		}
		copy(block[256-len(tt.info):], tt.info)
		sig := new(big.Int).Exp(new(big.Int).SetBytes(block), key.D, key.N).FillBytes(make([]byte, 256))
		err := CheckAuth(key.Public(), octets, digital(algorithm{pkcs1, SHA256}.identifier(), sig), true, Preferences{})
		if (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// RSASSA-PSS has a salt of the length of the hash, and no other.
func TestSaltOfPSS(t *testing.T) {
	key := certtest.Key(t, "rsa2048").(*rsa.PrivateKey)
	digest := sha256.Sum256(octets)
	for _, salt := range []int{0, 1, 31, 32, 33, 64, rsa.PSSSaltLengthAuto} {
		sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		err = CheckAuth(key.Public(), octets, digital(algorithm{pss, SHA256}.identifier(), sig), true, Preferences{})
		if (err == nil) != (salt == 32) {
			t.Errorf("a salt of %d octets: %v", salt, err)
		}
	}
}

func TestCheckPinned(t *testing.T) {
	a, b, c := certtest.Key(t, "p256"), certtest.Key(t, "ed25519"), certtest.Key(t, "p384")
	leaf := certtest.Sign(t, certtest.Template("leaf"), c, nil).Cert
	auth, err := Sign(b, octets, all, Methods{}, Preferences{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		keys []crypto.PublicKey
		sent Sent
		want string
	}{
		"the one":              {[]crypto.PublicKey{b.Public()}, Sent{}, ""},
		"one of two":           {[]crypto.PublicKey{a.Public(), b.Public()}, Sent{RawKey: b.Public()}, ""},
		"it sends another":     {[]crypto.PublicKey{b.Public()}, Sent{RawKey: a.Public()}, ""}, // what it sends proves nothing
		"another":              {[]crypto.PublicKey{a.Public()}, Sent{}, "by the key in remote_key: it signs by Ed25519, but its key is ECDSA P-256"},
		"two others":           {[]crypto.PublicKey{a.Public(), c.Public()}, Sent{}, "any of the keys in remote_key"},
		"another, and says so": {[]crypto.PublicKey{a.Public()}, Sent{RawKey: b.Public()}, "its key (Ed25519) is not the one in remote_key"},
		"a certificate":        {[]crypto.PublicKey{a.Public()}, Sent{Leaf: leaf}, "its key (ECDSA P-384) is not the one in remote_key"},
	} {
		err := CheckPinned(tt.keys, &tt.sent, octets, auth, true, Preferences{})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
