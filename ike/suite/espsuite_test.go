package suite

import (
	"bytes"
	"testing"

	"culvert/esp"
	"culvert/ike/wire"
)

func TestEveryOfferedESPSuite(t *testing.T) {
	seen := 0
	for _, offer := range DefaultESPProposals() {
		for choice := range choices(offer) {
			s, err := NewESPSuite(choice)
			if err != nil {
				t.Fatalf("%v: %v", choice, err)
			}
			i, r := s.ChildKeys(prfs[wire.PRFHMACSHA2256], []byte("SK_d"), nil, []byte("ni"), []byte("nr"))
			if want := s.Cipher.KeyLen(); want < 20 || len(i) != want || len(r) != want || bytes.Equal(i, r) {
				t.Errorf("%v: keys %x and %x, want %d octets each", choice, i, r, want)
			}
			seen++
		}
	}
	if want := (4 + 3*3) * 2 * (7 + 1); seen != want { // ciphers (AES-CBC with each HMAC), ESN, and groups or none
		t.Errorf("%d combinations, want %d", seen, want)
	}
}

func TestNewESPSuite(t *testing.T) {
	for text, want := range map[string]ESPSuite{
		"aes128gcm16":                 {Cipher: esp.Cipher{ID: esp.AESGCM16, KeyBits: 128}},
		"aes192gcm16-esn":             {Cipher: esp.Cipher{ID: esp.AESGCM16, KeyBits: 192}, ESN: true},
		"aes256gcm16-x25519-esn":      {Cipher: esp.Cipher{ID: esp.AESGCM16, KeyBits: 256}, ESN: true, KE: wire.GroupX25519},
		"chacha20poly1305-ecp384":     {Cipher: esp.Cipher{ID: esp.ChaCha20Poly1305, KeyBits: 256}, KE: wire.GroupECP384},
		"aes128gcm128-modp2048-noesn": {Cipher: esp.Cipher{ID: esp.AESGCM16, KeyBits: 128}, KE: wire.GroupMODP2048},
		"aes256-sha256-modp2048":      {Cipher: esp.Cipher{ID: esp.AESCBC, KeyBits: 256, Auth: esp.HMACSHA256}, KE: wire.GroupMODP2048},
		"aes128ctr-sha512-esn":        {Cipher: esp.Cipher{ID: esp.AESCTR, KeyBits: 128, Auth: esp.HMACSHA512}, ESN: true},
		"aes192-sha1":                 {Cipher: esp.Cipher{ID: esp.AESCBC, KeyBits: 192, Auth: esp.HMACSHA1}},
		"aes256gcm12":                 {Cipher: esp.Cipher{ID: esp.AESGCM12, KeyBits: 256}},
		"aes128gcm64":                 {Cipher: esp.Cipher{ID: esp.AESGCM8, KeyBits: 128}},
		"aes128ccm96":                 {Cipher: esp.Cipher{ID: esp.AESCCM12, KeyBits: 128}},
		"aes192gmac":                  {Cipher: esp.Cipher{ID: esp.NULLAuthAESGMAC, KeyBits: 192}},
		"null-sha384":                 {Cipher: esp.Cipher{ID: esp.NULL, Auth: esp.HMACSHA384}},
	} {
		got, err := NewESPSuite(mustESP(t, text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if *got != want {
			t.Errorf("%s: got %+v, want %+v", text, *got, want)
		}
	}
}

func TestNewESPSuiteRefuses(t *testing.T) {
	gcm, none, esn := words["aes128gcm16"], wire.Transform{Type: wire.TransformINTEG}, words["esn"]
	unknown := gcm
	unknown.UnknownAttribute = true
	for name, ts := range map[string][]wire.Transform{
		"nothing": nil, "no ENCR": {esn}, "no ESN": {gcm}, "two ENCR": {gcm, words["aes256gcm16"], esn}, "two ESN": {gcm, esn, words["noesn"]},
		"an AEAD and INTEG": {gcm, words["sha256"], esn}, "AES-CBC alone": {words["aes128"], esn},
		"NULL alone": {{Type: wire.TransformENCR, ID: wire.EncrNULL}, none, esn}, "NULL of 128 bits": {encrWord(wire.EncrNULL, 128), words["sha256"], esn}, "AES-CTR alone": {words["aes128ctr"], none, esn},
		"GMAC and HMAC": {words["aes128gmac"], words["sha256"], esn}, "GMAC of no length": {encrWord(wire.EncrNULLAuthAESGMAC, 0), esn}, "HMAC-MD5": {words["aes128"], {Type: wire.TransformINTEG, ID: 1}, esn},
		"a key of no length": {encrWord(wire.EncrAESGCM16, 0), esn},
		"a key of 1 bit":     {encrWord(wire.EncrAESGCM16, 1), esn}, "ESN 2": {gcm, {Type: wire.TransformESN, ID: 2}}, "an attribute of ESN": {gcm, {Type: wire.TransformESN, KeyLength: 1}},
		"a PRF": {gcm, words["prfsha256"], esn}, "MODP-768": {gcm, {Type: wire.TransformKE, ID: 1}, esn},
		"a key length of the group": {gcm, {Type: wire.TransformKE, ID: wire.GroupX25519, KeyLength: 256}, esn}, "an unknown attribute": {unknown, esn},
	} {
		if s, err := NewESPSuite(wire.Proposal{Protocol: wire.ProtoESP, Transforms: ts}); err == nil || s != nil {
			t.Errorf("%s was accepted: %+v", name, s)
		}
	}
	if _, err := NewESPSuite(wire.Proposal{Protocol: wire.ProtoAH, Transforms: []wire.Transform{gcm, esn}}); err == nil {
		t.Error("a proposal for AH was accepted")
	}
	if _, err := NewESPSuite(wire.Proposal{Protocol: wire.ProtoESP, Transforms: []wire.Transform{gcm, none, {Type: wire.TransformKE}, esn}}); err != nil {
		t.Errorf("INTEG NONE and KE NONE with an AEAD: %v", err)
	}
}

// TestChildKeys: g^ir of the Child SA's own key exchange precedes the nonces (RFC 7296, Section
// 2.17).
func TestChildKeys(t *testing.T) {
	s, err := NewESPSuite(mustESP(t, "aes128gcm16"))
	if err != nil {
		t.Fatal(err)
	}
	prf := prfs[wire.PRFHMACSHA2384]
	i, r := s.ChildKeys(prf, []byte("SK_d"), []byte("g^ir"), []byte("Ni"), []byte("Nr"))
	if want := slowPlus(prf, []byte("SK_d"), []byte("g^irNiNr"), 40); !bytes.Equal(append(i, r...), want) {
		t.Errorf("got %x and %x, want %x", i, r, want)
	}
	// Of each direction the key of the cipher comes first, then that of the HMAC.
	if s, err = NewESPSuite(mustESP(t, "aes128-sha256")); err != nil {
		t.Fatal(err)
	}
	i, r = s.ChildKeys(prf, []byte("SK_d"), nil, []byte("Ni"), []byte("Nr"))
	if want := slowPlus(prf, []byte("SK_d"), []byte("NiNr"), 2*(16+32)); !bytes.Equal(append(i, r...), want) {
		t.Errorf("got %x and %x, want %x", i, r, want)
	}
}
