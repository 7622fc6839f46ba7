package keylog

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"culvert/esp"
	"culvert/ike"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

func encr(id wire.TransformID, bits uint16) wire.Transform {
	return wire.Transform{Type: wire.TransformENCR, ID: id, KeyLength: bits}
}

func integ(id wire.TransformID) wire.Transform {
	return wire.Transform{Type: wire.TransformINTEG, ID: id}
}

func TestIKE(t *testing.T) {
	keys := ike.IKEKeys{SPIi: 0x0102030405060708, SPIr: 0xf1f2f3f4f5f6f7f8, Ei: []byte{1, 2}, Er: []byte{3, 4}}
	hashed := keys
	hashed.Ai, hashed.Ar = []byte{5, 6}, []byte{7, 8}
	for want, k := range map[string]struct {
		keys        ike.IKEKeys
		encr, integ wire.Transform
	}{
		`0102030405060708,f1f2f3f4f5f6f7f8,0102,0304,"AES-GCM-256 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"`:    {keys, encr(wire.EncrAESGCM16, 256), wire.Transform{}},
		`0102030405060708,f1f2f3f4f5f6f7f8,0102,0304,"AES-GCM-128 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"`:    {keys, encr(wire.EncrAESGCM16, 128), integ(wire.IntegNone)},
		`0102030405060708,f1f2f3f4f5f6f7f8,0102,0304,"AES-CBC-192 [RFC3602]",0506,0708,"HMAC_SHA2_384_192 [RFC4868]"`: {hashed, encr(wire.EncrAESCBC, 192), integ(wire.IntegHMACSHA2384)},
		`# 0102030405060708,f1f2f3f4f5f6f7f8: Wireshark does not decrypt IKE with chacha20poly1305`:                   {keys, encr(wire.EncrChaCha20Poly1305, 0), wire.Transform{}},
		`# 0102030405060708,f1f2f3f4f5f6f7f8: Wireshark does not decrypt IKE with aes256`:                             {hashed, encr(wire.EncrAESCBC, 256), integ(99)},
	} {
		k.keys.Encr, k.keys.Integ = k.encr, k.integ
		if got := string(AppendIKE([]byte("before\n"), &k.keys)); got != "before\n"+want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
	}
}

func TestESP(t *testing.T) {
	gcm, chacha := esp.Cipher{ID: esp.AESGCM16, KeyBits: 128}, esp.Cipher{ID: esp.ChaCha20Poly1305, KeyBits: 256}
	four := ipsec.RawPath(netip.Addr{}, netip.MustParseAddr("192.0.2.2"))
	six := ipsec.RawPath(netip.Addr{}, netip.MustParseAddr("2001:db8::2"))
	for want, sa := range map[string]ipsec.ChildSA{
		`"IPv4","*","*","0x00001001","AES-GCM with 16 octet ICV [RFC4106]","0x0102","NULL",""
"IPv4","*","*","0xc0000001","AES-GCM with 16 octet ICV [RFC4106]","0x0304","NULL",""
`: {SPIIn: 0x1001, SPIOut: 0xc0000001, KeyIn: []byte{1, 2}, KeyOut: []byte{3, 4}, Cipher: gcm, Path: four},
		`"IPv6","*","*","0x00001001","ChaCha20 with Poly1305 [RFC7634]","0x0102","NULL","","64-bit","0"
`: {SPIIn: 0x1001, KeyIn: []byte{1, 2}, Cipher: chacha, ESN: true, Path: six},
		`"IPv4","*","*","0x00001002","AES-GCM with 16 octet ICV [RFC4106]","0x0304","NULL",""
`: {SPIOut: 0x1002, KeyOut: []byte{3, 4}, Cipher: gcm, Path: four},
		`"IPv4","*","*","0x00001003","AES-CBC [RFC3602]","0x` + strings.Repeat("01", 16) + `","HMAC-SHA-256-128 [RFC4868]","0x` + strings.Repeat("02", 32) + `"
`: {SPIIn: 0x1003, KeyIn: append(bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 32)...), Cipher: esp.Cipher{ID: esp.AESCBC, KeyBits: 128, Auth: esp.HMACSHA256}, Path: four},
		`"IPv4","*","*","0x00001004","NULL","","HMAC-SHA-1-96 [RFC2404]","0x` + strings.Repeat("03", 20) + `"
`: {SPIIn: 0x1004, KeyIn: bytes.Repeat([]byte{3}, 20), Cipher: esp.Cipher{ID: esp.NULL, Auth: esp.HMACSHA1}, Path: four},
		`# 0x00001002: Wireshark does not decrypt ESP with encryption 99 with 7 bits
`: {SPIOut: 0x1002, KeyOut: []byte{3, 4}, Cipher: esp.Cipher{ID: 99, KeyBits: 7}, Path: four},
	} {
		if got := string(AppendESP(nil, &sa)); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

// Every cipher of ESP has a word of Wireshark's, and every one of IKE that Wireshark decrypts.
func TestCiphersHaveWords(t *testing.T) {
	for _, p := range suite.DefaultESPProposals() {
		for _, tr := range p.Transforms {
			if _, ok := espEncryption[uint16(tr.ID)]; tr.Type == wire.TransformENCR && !ok {
				t.Errorf("no words for %v", tr)
			}
			if _, ok := espIntegrity[uint16(tr.ID)]; tr.Type == wire.TransformINTEG && !ok {
				t.Errorf("no words for %v", tr)
			}
		}
	}
	for _, p := range suite.DefaultIKEProposals() {
		for _, tr := range p.Transforms {
			_, ok := ikeEncryption[tr.ID]
			if tr.Type == wire.TransformENCR && !ok && tr.ID != wire.EncrChaCha20Poly1305 {
				t.Errorf("no words for %v", tr)
			}
			if _, ok := ikeIntegrity[tr.ID]; tr.Type == wire.TransformINTEG && !ok {
				t.Errorf("no words for %v", tr)
			}
		}
	}
}

// The longest lines are no longer than MaxLine.
func TestMaxLine(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 64)
	k := ike.IKEKeys{Encr: encr(wire.EncrAESCBC, 256), Integ: integ(wire.IntegHMACSHA2512), Ei: key[:36], Er: key[:36], Ai: key, Ar: key}
	if n := len(AppendIKE(nil, &k)); n > MaxLine {
		t.Errorf("IKE: %d octets", n)
	}
	sa := ipsec.ChildSA{SPIIn: 1 << 31, SPIOut: 1 << 31, KeyIn: key, KeyOut: key, ESN: true, Cipher: esp.Cipher{ID: esp.AESGCM16}}
	if b := AppendESP(nil, &sa); len(b) > MaxLine || strings.Count(string(b), "\n") != 2 {
		t.Errorf("ESP: %d octets", len(b))
	}
}
