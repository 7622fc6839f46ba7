package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"culvert/esp/aesmode"
	"culvert/ike/wire"
)

// encryption is an encryption algorithm. One that is not in the table is not supported and never
// negotiated.
type encryption struct {
	keyBits []uint16 // valid Key Length attributes; nil: none, a key has fixedBits
	// salt is the number of octets behind the key (RFC 5282, Section 7.1; RFC 7634, Section 2; RFC
	// 5930, Section 3).
	salt      int
	fixedBits uint16
	aead      func([]byte) (cipher.AEAD, error) // nil: an integrity algorithm is needed
	counter   bool                              // AES-CTR, where aead is nil; else AES-CBC
	// espOnly is set for algorithms that do not encrypt. An IKE SA must have one that does (RFC
	// 8247, Section 2.1; RFC 4543, Section 5.1).
	espOnly bool
}

var aesKeyBits = []uint16{128, 192, 256}

// saltLen and ccmSaltLen are lengths of salts: of all but AES-CCM, and of that (RFC 5282, Section
// 7.1).
const saltLen, ccmSaltLen = 4, 3

var encryptions = map[wire.TransformID]encryption{
	wire.EncrAESGCM8:          {keyBits: aesKeyBits, salt: saltLen, aead: newGCM8},
	wire.EncrAESGCM12:         {keyBits: aesKeyBits, salt: saltLen, aead: newGCM12},
	wire.EncrAESGCM16:         {keyBits: aesKeyBits, salt: saltLen, aead: newGCM},
	wire.EncrAESCCM8:          {keyBits: aesKeyBits, salt: ccmSaltLen, aead: newCCM8},
	wire.EncrAESCCM12:         {keyBits: aesKeyBits, salt: ccmSaltLen, aead: newCCM12},
	wire.EncrAESCCM16:         {keyBits: aesKeyBits, salt: ccmSaltLen, aead: newCCM16},
	wire.EncrChaCha20Poly1305: {fixedBits: 8 * chacha20poly1305.KeySize, salt: saltLen, aead: chacha20poly1305.New},
	wire.EncrAESCBC:           {keyBits: aesKeyBits},
	wire.EncrAESCTR:           {keyBits: aesKeyBits, salt: saltLen, counter: true},
	wire.EncrNULL:             {espOnly: true},
	wire.EncrNULLAuthAESGMAC:  {keyBits: aesKeyBits, salt: saltLen, aead: newGCM, espOnly: true},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func newGCM8(key []byte) (cipher.AEAD, error)  { return asAEAD(aesmode.NewShortGCM(key, 8)) }
func newGCM12(key []byte) (cipher.AEAD, error) { return asAEAD(aesmode.NewShortGCM(key, 12)) }
func newCCM8(key []byte) (cipher.AEAD, error)  { return asAEAD(aesmode.NewCCM(key, 8)) }
func newCCM12(key []byte) (cipher.AEAD, error) { return asAEAD(aesmode.NewCCM(key, 12)) }
func newCCM16(key []byte) (cipher.AEAD, error) { return asAEAD(aesmode.NewCCM(key, 16)) }

func asAEAD(m aesmode.Mode, err error) (cipher.AEAD, error) {
	if err != nil {
		return nil, err
	}
	return aesmode.AEAD(m), nil
}

// encryptionOf looks up a transform and checks its key length. "The Key Length attribute MUST NOT
// be used with transforms that use a fixed-length key", and must be present with the others (RFC
// 7296, Section 3.3.5).
func encryptionOf(t wire.Transform) (encryption, error) {
	e, ok := encryptions[t.ID]
	switch {
	case t.Type != wire.TransformENCR || !ok || t.UnknownAttribute:
		return e, fmt.Errorf("encryption algorithm %v is not supported", t)
	case e.keyBits == nil && t.KeyLength != 0:
		return e, fmt.Errorf("%v has a key of fixed length, but the transform has a Key Length of %d bits", wire.Transform{Type: t.Type, ID: t.ID}, t.KeyLength)
	case e.keyBits != nil && !slices.Contains(e.keyBits, t.KeyLength):
		return e, fmt.Errorf("encryption algorithm %v does not support a key of %d bits", wire.Transform{Type: t.Type, ID: t.ID}.IANAName(), t.KeyLength)
	}
	return e, nil
}

// encryptionOfIKE is encryptionOf for an IKE SA.
func encryptionOfIKE(t wire.Transform) (encryption, error) {
	e, err := encryptionOf(t)
	if err == nil && e.espOnly {
		err = fmt.Errorf("%v does not encrypt, which an IKE SA must", t)
	}
	return e, err
}

// bits returns the length of the key in bits, without the salt.
func (e encryption) bits(t wire.Transform) uint16 {
	if e.keyBits == nil {
		return e.fixedBits
	}
	return t.KeyLength
}

// keyLen returns the number of octets of keying material: the key, then the salt.
func (e encryption) keyLen(t wire.Transform) int { return int(e.bits(t))/8 + e.salt }

// integrity is an integrity algorithm: an HMAC with a key of the hash's length and a truncated
// output (RFC 4868, Section 2.3; RFC 2404). Lengths are in octets.
type integrity struct {
	keyLen int
	icvLen int
	hash   func() hash.Hash
}

var integrities = map[wire.TransformID]integrity{
	wire.IntegHMACSHA196:  {sha1.Size, 12, sha1.New},
	wire.IntegHMACSHA2256: {sha256.Size, 16, sha256.New},
	wire.IntegHMACSHA2384: {sha512.Size384, 24, sha512.New384},
	wire.IntegHMACSHA2512: {sha512.Size, 32, sha512.New},
}

// integrityFor returns the integrity algorithm for e; the zero one if e needs none. An AEAD accepts
// only NONE (RFC 5282, Section 8), and another cipher must have an integrity algorithm.
func (e encryption) integrityFor(t wire.Transform) (integrity, error) {
	none := t == wire.Transform{} || t == wire.Transform{Type: wire.TransformINTEG, ID: wire.IntegNone}
	i, ok := integrities[t.ID]
	switch {
	case e.aead != nil && none:
		return integrity{}, nil
	case e.aead != nil:
		return integrity{}, fmt.Errorf("integrity algorithm %v cannot be used with a cipher that has its own integrity check", t)
	case none:
		return integrity{}, fmt.Errorf("the cipher needs an integrity algorithm")
	case t.Type != wire.TransformINTEG || !ok || t.KeyLength != 0 || t.UnknownAttribute:
		return integrity{}, fmt.Errorf("integrity algorithm %v is not supported", t)
	}
	return i, nil
}
