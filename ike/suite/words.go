package suite

import (
	"fmt"

	"culvert/ike/wire"
)

// words are the keywords of a proposal in a configuration file, with strongSwan's names.
// wire.Transform.String prints one keyword for each transform.
var words = withAES(map[string]wire.Transform{
	"chacha20poly1305": encrWord(wire.EncrChaCha20Poly1305, 0),
	"null":             encrWord(wire.EncrNULL, 0),

	"sha1":     {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA196},
	"sha256":   {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2256},
	"sha384":   {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2384},
	"sha512":   {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2512},
	"sha2_256": {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2256},
	"sha2_384": {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2384},
	"sha2_512": {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2512},

	"prfsha1":   {Type: wire.TransformPRF, ID: wire.PRFHMACSHA1},
	"prfsha256": {Type: wire.TransformPRF, ID: wire.PRFHMACSHA2256},
	"prfsha384": {Type: wire.TransformPRF, ID: wire.PRFHMACSHA2384},
	"prfsha512": {Type: wire.TransformPRF, ID: wire.PRFHMACSHA2512},

	"x25519":     {Type: wire.TransformKE, ID: wire.GroupX25519},
	"curve25519": {Type: wire.TransformKE, ID: wire.GroupX25519},
	"x448":       {Type: wire.TransformKE, ID: wire.GroupX448},
	"curve448":   {Type: wire.TransformKE, ID: wire.GroupX448},
	"ecp256":     {Type: wire.TransformKE, ID: wire.GroupECP256},
	"ecp384":     {Type: wire.TransformKE, ID: wire.GroupECP384},
	"ecp521":     {Type: wire.TransformKE, ID: wire.GroupECP521},
	"modp1024":   {Type: wire.TransformKE, ID: wire.GroupMODP1024},
	"modp1536":   {Type: wire.TransformKE, ID: wire.GroupMODP1536},
	"modp2048":   {Type: wire.TransformKE, ID: wire.GroupMODP2048},
	"modp3072":   {Type: wire.TransformKE, ID: wire.GroupMODP3072},
	"modp4096":   {Type: wire.TransformKE, ID: wire.GroupMODP4096},
	"modp6144":   {Type: wire.TransformKE, ID: wire.GroupMODP6144},
	"modp8192":   {Type: wire.TransformKE, ID: wire.GroupMODP8192},

	"esn":   {Type: wire.TransformESN, ID: wire.ESNYes},
	"noesn": {Type: wire.TransformESN, ID: wire.ESNNo},
})

// aesWords are what follows the length of the key in the keywords of AES. The length of a tag is in
// octets or in bits.
var aesWords = map[string]wire.TransformID{
	"": wire.EncrAESCBC, "cbc": wire.EncrAESCBC, "ctr": wire.EncrAESCTR, "gmac": wire.EncrNULLAuthAESGMAC,
	"gcm8": wire.EncrAESGCM8, "gcm12": wire.EncrAESGCM12, "gcm16": wire.EncrAESGCM16,
	"gcm64": wire.EncrAESGCM8, "gcm96": wire.EncrAESGCM12, "gcm128": wire.EncrAESGCM16,
	"ccm8": wire.EncrAESCCM8, "ccm12": wire.EncrAESCCM12, "ccm16": wire.EncrAESCCM16,
	"ccm64": wire.EncrAESCCM8, "ccm96": wire.EncrAESCCM12, "ccm128": wire.EncrAESCCM16,
}

// withAES returns list with the keywords of AES.
func withAES(list map[string]wire.Transform) map[string]wire.Transform {
	for mode, id := range aesWords {
		for _, bits := range aesKeyBits {
			list[fmt.Sprintf("aes%d%s", bits, mode)] = encrWord(id, bits)
		}
	}
	return list
}

func encrWord(id wire.TransformID, bits uint16) wire.Transform {
	return wire.Transform{Type: wire.TransformENCR, ID: id, KeyLength: bits}
}

// prfOfInteg is the PRF that follows from an integrity algorithm in a proposal without a PRF, as in
// strongSwan.
var prfOfInteg = map[wire.TransformID]wire.TransformID{
	wire.IntegHMACSHA196:  wire.PRFHMACSHA1,
	wire.IntegHMACSHA2256: wire.PRFHMACSHA2256,
	wire.IntegHMACSHA2384: wire.PRFHMACSHA2384,
	wire.IntegHMACSHA2512: wire.PRFHMACSHA2512,
}

// Weak returns why a transform should not be used where the peer has any other, for the sake of a
// warning; empty if there is nothing to say. No default proposal has one of these.
func Weak(t wire.Transform) string {
	switch t.Type {
	case wire.TransformENCR:
		if encryptions[t.ID].espOnly {
			return "does not encrypt: who is on the path can read everything"
		}
	case wire.TransformINTEG, wire.TransformPRF:
		if t.ID == wire.IntegHMACSHA196 || t.Type == wire.TransformPRF && t.ID == wire.PRFHMACSHA1 {
			return "is SHA-1, which is being phased out (RFC 8247)"
		}
	case wire.TransformKE:
		if g, ok := modpGroups[t.ID]; ok && g.bits < 2048 {
			return "is too small a group: attackers with much money may break it, and then read the traffic that they have recorded (RFC 8247)"
		}
	}
	return ""
}
