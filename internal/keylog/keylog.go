// Package keylog writes keys as lines of Wireshark's tables, which decrypt a capture of IKE and
// ESP. It only makes lines; their place and who may read them is the caller's matter.
package keylog

import (
	"encoding/hex"
	"fmt"

	"culvert/esp"
	"culvert/ike"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// The names of the tables' files in a folder of Wireshark's configuration.
const (
	IKETable = "ikev2_decryption_table"
	ESPTable = "esp_sa"
)

// Preferences has Wireshark decrypt by the tables, as the file "preferences" of the same folder.
const Preferences = `# Wireshark: decrypt ESP by the table esp_sa, and check it
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
`

// MaxLine is the most octets of what AppendIKE, and AppendESP, add.
const MaxLine = 1024

// ikeEncryption has Wireshark's words for the encryption of IKE messages; %d stands for the length
// of the key.
var ikeEncryption = map[wire.TransformID]string{
	wire.EncrAESCBC:   "AES-CBC-%d [RFC3602]",
	wire.EncrAESCTR:   "AES-CTR-%d [RFC5930]",
	wire.EncrAESCCM8:  "AES-CCM-%d with 8 octet ICV [RFC5282]",
	wire.EncrAESCCM12: "AES-CCM-%d with 12 octet ICV [RFC5282]",
	wire.EncrAESCCM16: "AES-CCM-%d with 16 octet ICV [RFC5282]",
	wire.EncrAESGCM8:  "AES-GCM-%d with 8 octet ICV [RFC5282]",
	wire.EncrAESGCM12: "AES-GCM-%d with 12 octet ICV [RFC5282]",
	wire.EncrAESGCM16: "AES-GCM-%d with 16 octet ICV [RFC5282]",
}

// ikeIntegrity has Wireshark's words for the integrity algorithm of IKE messages.
var ikeIntegrity = map[wire.TransformID]string{
	wire.IntegNone:        "NONE [RFC4306]", // an AEAD
	wire.IntegHMACSHA196:  "HMAC_SHA1_96 [RFC2404]",
	wire.IntegHMACSHA2256: "HMAC_SHA2_256_128 [RFC4868]",
	wire.IntegHMACSHA2384: "HMAC_SHA2_384_192 [RFC4868]",
	wire.IntegHMACSHA2512: "HMAC_SHA2_512_256 [RFC4868]",
}

// espEncryption has Wireshark's words for the encryption algorithms of ESP.
var espEncryption = map[uint16]string{
	esp.NULL:             "NULL",
	esp.AESCBC:           "AES-CBC [RFC3602]",
	esp.AESCTR:           "AES-CTR [RFC3686]",
	esp.AESGCM8:          "AES-GCM with 8 octet ICV [RFC4106]",
	esp.AESGCM12:         "AES-GCM with 12 octet ICV [RFC4106]",
	esp.AESGCM16:         "AES-GCM with 16 octet ICV [RFC4106]",
	esp.ChaCha20Poly1305: "ChaCha20 with Poly1305 [RFC7634]", // Wireshark 4.0 does not know it
}

// espIntegrity has Wireshark's words for the integrity algorithms of ESP.
var espIntegrity = map[uint16]string{
	0:              "NULL", // the cipher has its own
	esp.HMACSHA1:   "HMAC-SHA-1-96 [RFC2404]",
	esp.HMACSHA256: "HMAC-SHA-256-128 [RFC4868]",
	esp.HMACSHA384: "HMAC-SHA-384-192 [RFC4868]",
	esp.HMACSHA512: "HMAC-SHA-512-256 [RFC4868]",
}

// AppendIKE appends the keys of an IKE SA as a line of IKETable. For algorithms that Wireshark has
// no words for it appends a comment, without keys: an unknown word ends the reading of the table.
func AppendIKE(b []byte, k *ike.IKEKeys) []byte {
	encryption, ok := ikeEncryption[k.Encr.ID]
	integrity, known := ikeIntegrity[k.Integ.ID]
	if !ok || !known {
		return fmt.Appendf(b, "# %016x,%016x: Wireshark does not decrypt IKE with %v\n", uint64(k.SPIi), uint64(k.SPIr), k.Encr)
	}
	b = fmt.Appendf(b, "%016x,%016x,", uint64(k.SPIi), uint64(k.SPIr))
	b = append(hex.AppendEncode(b, k.Ei), ',')
	b = append(hex.AppendEncode(b, k.Er), ',')
	b = fmt.Appendf(b, "%q,", fmt.Sprintf(encryption, k.Encr.KeyLength))
	b = append(hex.AppendEncode(b, k.Ai), ',')
	b = append(hex.AppendEncode(b, k.Ar), ',')
	return fmt.Appendf(b, "%q\n", integrity)
}

// AppendESP appends the keys of a Child SA pair as lines of ESPTable, one for each direction. The
// addresses are left open: the peer may move, and beyond a NAT they are others. The SPI tells the
// SAs of a capture apart.
func AppendESP(b []byte, sa *ipsec.ChildSA) []byte {
	if sa.SPIIn != 0 {
		b = appendESP(b, sa, sa.SPIIn, sa.KeyIn)
	}
	if sa.SPIOut != 0 {
		b = appendESP(b, sa, sa.SPIOut, sa.KeyOut)
	}
	return b
}

func appendESP(b []byte, sa *ipsec.ChildSA, spi uint32, key []byte) []byte {
	name, ok := espEncryption[sa.Cipher.ID]
	integrity, known := espIntegrity[sa.Cipher.Auth]
	if !ok || !known {
		return fmt.Appendf(b, "# 0x%08x: Wireshark does not decrypt ESP with %v\n", spi, sa.Cipher)
	}
	family := "IPv4"
	if sa.Path.Is6() {
		family = "IPv6"
	}
	_, auth := sa.Cipher.KeyLens()
	encr := max(len(key)-auth, 0)
	b = fmt.Appendf(b, `"%s","*","*","0x%08x","%s","`, family, spi, name)
	b = append(appendKey(b, key[:encr]), `","`...)
	b = append(append(b, integrity...), `","`...)
	b = append(appendKey(b, key[encr:]), '"')
	if sa.ESN {
		b = append(b, `,"64-bit","0"`...) // Wireshark 4.0 leaves that out, and takes the ICV for wrong
	}
	return append(b, '\n')
}

// appendKey appends a key in hexadecimal, and nothing for none.
func appendKey(b, key []byte) []byte {
	if len(key) == 0 {
		return b
	}
	return hex.AppendEncode(append(b, "0x"...), key)
}
