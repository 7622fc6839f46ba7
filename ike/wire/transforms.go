package wire

import (
	"strconv"
	"strings"
)

// transformName holds a transform's IANA name, and its keyword in the proposals of configuration
// files and status.
type transformName struct{ iana, keyword string }

// transformNames follows the IANA registries "Transform Type 1" to "Transform Type 5". The '%' in a
// keyword stands for the key length, as in "aes%gcm16".
var transformNames = map[TransformType]map[TransformID]transformName{
	TransformENCR: {
		1: {"ENCR_DES_IV64", ""}, 2: {"ENCR_DES", "des"}, 3: {"ENCR_3DES", "3des"}, 4: {"ENCR_RC5", ""}, 5: {"ENCR_IDEA", ""},
		6: {"ENCR_CAST", "cast%"}, 7: {"ENCR_BLOWFISH", "blowfish%"}, 8: {"ENCR_3IDEA", ""}, 9: {"ENCR_DES_IV32", ""},
		EncrNULL: {"ENCR_NULL", "null"}, EncrAESCBC: {"ENCR_AES_CBC", "aes%"}, EncrAESCTR: {"ENCR_AES_CTR", "aes%ctr"},
		EncrAESCCM8: {"ENCR_AES_CCM_8", "aes%ccm8"}, EncrAESCCM12: {"ENCR_AES_CCM_12", "aes%ccm12"}, EncrAESCCM16: {"ENCR_AES_CCM_16", "aes%ccm16"},
		EncrAESGCM8: {"ENCR_AES_GCM_8", "aes%gcm8"}, EncrAESGCM12: {"ENCR_AES_GCM_12", "aes%gcm12"}, EncrAESGCM16: {"ENCR_AES_GCM_16", "aes%gcm16"},
		EncrNULLAuthAESGMAC: {"ENCR_NULL_AUTH_AES_GMAC", "aes%gmac"}, 23: {"ENCR_CAMELLIA_CBC", "camellia%"}, 24: {"ENCR_CAMELLIA_CTR", "camellia%ctr"},
		25: {"ENCR_CAMELLIA_CCM_8", "camellia%ccm8"}, 26: {"ENCR_CAMELLIA_CCM_12", "camellia%ccm12"}, 27: {"ENCR_CAMELLIA_CCM_16", "camellia%ccm16"},
		EncrChaCha20Poly1305: {"ENCR_CHACHA20_POLY1305", "chacha20poly1305"}, 29: {"ENCR_AES_CCM_8_IIV", ""},
		30: {"ENCR_AES_GCM_16_IIV", ""}, 31: {"ENCR_CHACHA20_POLY1305_IIV", ""},
	},
	TransformPRF: {
		1: {"PRF_HMAC_MD5", "prfmd5"}, PRFHMACSHA1: {"PRF_HMAC_SHA1", "prfsha1"}, 3: {"PRF_HMAC_TIGER", ""}, 4: {"PRF_AES128_XCBC", "prfaesxcbc"},
		PRFHMACSHA2256: {"PRF_HMAC_SHA2_256", "prfsha256"}, PRFHMACSHA2384: {"PRF_HMAC_SHA2_384", "prfsha384"},
		PRFHMACSHA2512: {"PRF_HMAC_SHA2_512", "prfsha512"}, 8: {"PRF_AES128_CMAC", "prfaescmac"},
	},
	TransformINTEG: {
		IntegNone: {"NONE", "noauth"}, 1: {"AUTH_HMAC_MD5_96", "md5"}, IntegHMACSHA196: {"AUTH_HMAC_SHA1_96", "sha1"}, 3: {"AUTH_DES_MAC", ""},
		4: {"AUTH_KPDK_MD5", ""}, 5: {"AUTH_AES_XCBC_96", "aesxcbc"}, 6: {"AUTH_HMAC_MD5_128", ""}, 7: {"AUTH_HMAC_SHA1_160", ""},
		8: {"AUTH_AES_CMAC_96", "aescmac"}, 9: {"AUTH_AES_128_GMAC", "aes128gmac"}, 10: {"AUTH_AES_192_GMAC", "aes192gmac"},
		11: {"AUTH_AES_256_GMAC", "aes256gmac"}, IntegHMACSHA2256: {"AUTH_HMAC_SHA2_256_128", "sha256"},
		IntegHMACSHA2384: {"AUTH_HMAC_SHA2_384_192", "sha384"}, IntegHMACSHA2512: {"AUTH_HMAC_SHA2_512_256", "sha512"},
	},
	TransformKE: {
		GroupNone: {"NONE", "none"}, 1: {"768-bit MODP Group", "modp768"}, GroupMODP1024: {"1024-bit MODP Group", "modp1024"},
		GroupMODP1536: {"1536-bit MODP Group", "modp1536"}, GroupMODP2048: {"2048-bit MODP Group", "modp2048"},
		GroupMODP3072: {"3072-bit MODP Group", "modp3072"}, GroupMODP4096: {"4096-bit MODP Group", "modp4096"},
		GroupMODP6144: {"6144-bit MODP Group", "modp6144"}, GroupMODP8192: {"8192-bit MODP Group", "modp8192"},
		GroupECP256: {"256-bit random ECP group", "ecp256"}, GroupECP384: {"384-bit random ECP group", "ecp384"},
		GroupECP521: {"521-bit random ECP group", "ecp521"}, 22: {"1024-bit MODP Group with 160-bit Prime Order Subgroup", "modp1024s160"},
		23: {"2048-bit MODP Group with 224-bit Prime Order Subgroup", "modp2048s224"},
		24: {"2048-bit MODP Group with 256-bit Prime Order Subgroup", "modp2048s256"},
		25: {"192-bit Random ECP Group", "ecp192"}, 26: {"224-bit Random ECP Group", "ecp224"}, 27: {"brainpoolP224r1", "ecp224bp"},
		28: {"brainpoolP256r1", "ecp256bp"}, 29: {"brainpoolP384r1", "ecp384bp"}, 30: {"brainpoolP512r1", "ecp512bp"},
		GroupX25519: {"Curve25519", "x25519"}, GroupX448: {"Curve448", "x448"}, 33: {"GOST3410_2012_256", ""}, 34: {"GOST3410_2012_512", ""},
		GroupMLKEM512: {"ml-kem-512", "mlkem512"}, GroupMLKEM768: {"ml-kem-768", "mlkem768"}, GroupMLKEM1024: {"ml-kem-1024", "mlkem1024"},
	},
	TransformESN: {ESNNo: {"No Extended Sequence Numbers", "noesn"}, ESNYes: {"Extended Sequence Numbers", "esn"}},
}

// names looks up the transform. Additional key exchanges (RFC 9370) share the registry of key
// exchange methods.
func (t Transform) names() (transformName, bool) {
	kind := t.Type
	if kind >= TransformADDKE1 && kind <= TransformADDKE7 {
		kind = TransformKE
	}
	n, ok := transformNames[kind][t.ID]
	return n, ok
}

// IANAName returns the transform's name in the IANA registry, with the key length if there is one:
// "ENCR_AES_GCM_16 256".
func (t Transform) IANAName() string {
	s := t.Type.String() + "(" + strconv.Itoa(int(t.ID)) + ")"
	if n, ok := t.names(); ok {
		s = n.iana
	}
	if t.KeyLength != 0 {
		s += " " + strconv.Itoa(int(t.KeyLength))
	}
	return s
}

// String returns the transform's keyword in a configuration file, such as "aes256gcm16", or its
// IANA name if it has no keyword. For a transform with an attribute that was not understood it ends
// with "+?".
func (t Transform) String() string {
	n, _ := t.names()
	s := n.keyword
	prefix, suffix, variable := strings.Cut(s, "%")
	switch {
	case s == "" || !variable && t.KeyLength != 0:
		s = t.IANAName()
	case variable && t.KeyLength == 0:
		s = prefix + suffix
	case variable:
		s = prefix + strconv.Itoa(int(t.KeyLength)) + suffix
	}
	if t.Type >= TransformADDKE1 && t.Type <= TransformADDKE7 {
		s = "ke" + strconv.Itoa(int(t.Type-TransformADDKE1)+1) + "_" + s
	}
	if t.UnknownAttribute {
		s += "+?"
	}
	return s
}

// GroupName returns the keyword of a key exchange method, such as "x25519".
func GroupName(id TransformID) string { return Transform{Type: TransformKE, ID: id}.String() }

// String returns the proposal as written in a configuration file, such as
// "aes256gcm16-prfsha384-x25519". It omits "noesn" if that is the only choice, and likewise an
// integrity algorithm of NONE.
func (p Proposal) String() string {
	var words []string
	for _, t := range p.Transforms {
		if p.impliedTransform(t) {
			continue
		}
		words = append(words, t.String())
	}
	if len(words) == 0 {
		return "empty"
	}
	return strings.Join(words, "-")
}

func (p Proposal) impliedTransform(t Transform) bool {
	for _, other := range p.Transforms {
		if other.Type == t.Type && other != t {
			return false
		}
	}
	return t == Transform{Type: TransformESN, ID: ESNNo} || t == Transform{Type: TransformINTEG, ID: IntegNone}
}
