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

// algorithm is a transform with its key length in bits.
type algorithm struct {
	id   wire.TransformID
	bits uint16
}

// ikeEncryption has Wireshark's words for the encryption of IKE messages.
var ikeEncryption = map[algorithm]string{
	{wire.EncrAESCBC, 128}:   "AES-CBC-128 [RFC3602]",
	{wire.EncrAESCBC, 192}:   "AES-CBC-192 [RFC3602]",
	{wire.EncrAESCBC, 256}:   "AES-CBC-256 [RFC3602]",
	{wire.EncrAESGCM16, 128}: "AES-GCM-128 with 16 octet ICV [RFC5282]",
	{wire.EncrAESGCM16, 192}: "AES-GCM-192 with 16 octet ICV [RFC5282]",
	{wire.EncrAESGCM16, 256}: "AES-GCM-256 with 16 octet ICV [RFC5282]",
}

// ikeIntegrity has Wireshark's words for the integrity algorithm of IKE messages.
var ikeIntegrity = map[wire.TransformID]string{
	wire.IntegNone:        "NONE [RFC4306]", // an AEAD
	wire.IntegHMACSHA196:  "HMAC_SHA1_96 [RFC2404]",
	wire.IntegHMACSHA2256: "HMAC_SHA2_256_128 [RFC4868]",
	wire.IntegHMACSHA2384: "HMAC_SHA2_384_192 [RFC4868]",
	wire.IntegHMACSHA2512: "HMAC_SHA2_512_256 [RFC4868]",
}

// espEncryption has Wireshark's words for the ciphers of ESP.
var espEncryption = map[uint16]string{
	esp.AESGCM16:         "AES-GCM with 16 octet ICV [RFC4106]",
	esp.ChaCha20Poly1305: "ChaCha20 with Poly1305 [RFC7634]", // Wireshark 4.0 does not know it
}

// AppendIKE appends the keys of an IKE SA as a line of IKETable. For algorithms that Wireshark has
// no words for it appends a comment, without keys: an unknown word ends the reading of the table.
func AppendIKE(b []byte, k *ike.IKEKeys) []byte {
	encryption, ok := ikeEncryption[algorithm{k.Encr.ID, k.Encr.KeyLength}]
	integrity, known := ikeIntegrity[k.Integ.ID]
	if !ok || !known {
		return fmt.Appendf(b, "# %016x,%016x: Wireshark does not decrypt IKE with %v\n", uint64(k.SPIi), uint64(k.SPIr), k.Encr)
	}
	b = fmt.Appendf(b, "%016x,%016x,", uint64(k.SPIi), uint64(k.SPIr))
	b = append(hex.AppendEncode(b, k.Ei), ',')
	b = append(hex.AppendEncode(b, k.Er), ',')
	b = fmt.Appendf(b, "%q,", encryption)
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
	if !ok {
		return fmt.Appendf(b, "# 0x%08x: Wireshark does not decrypt ESP with %v\n", spi, sa.Cipher)
	}
	family := "IPv4"
	if sa.Path.Is6() {
		family = "IPv6"
	}
	b = fmt.Appendf(b, `"%s","*","*","0x%08x","%s","0x`, family, spi, name)
	b = hex.AppendEncode(b, key)
	b = append(b, `","NULL",""`...)
	if sa.ESN {
		b = append(b, `,"64-bit","0"`...) // Wireshark 4.0 leaves that out, and takes the ICV for wrong
	}
	return append(b, '\n')
}
