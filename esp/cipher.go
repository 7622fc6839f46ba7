package esp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The encryption algorithms of the package (IANA "Transform Type 1 - Encryption Algorithm Transform
// IDs").
const (
	NULL             uint16 = 11 // RFC 2410
	AESCBC           uint16 = 12 // RFC 3602
	AESCTR           uint16 = 13 // RFC 3686
	AESCCM8          uint16 = 14 // RFC 4309
	AESCCM12         uint16 = 15 // RFC 4309
	AESCCM16         uint16 = 16 // RFC 4309
	AESGCM8          uint16 = 18 // RFC 4106
	AESGCM12         uint16 = 19 // RFC 4106
	AESGCM16         uint16 = 20 // RFC 4106
	NULLAuthAESGMAC  uint16 = 21 // RFC 4543
	ChaCha20Poly1305 uint16 = 28 // RFC 7634
)

// The integrity algorithms of the package (IANA "Transform Type 3 - Integrity Algorithm Transform
// IDs").
const (
	HMACSHA1   uint16 = 2  // AUTH_HMAC_SHA1_96, RFC 2404
	HMACSHA256 uint16 = 12 // AUTH_HMAC_SHA2_256_128, RFC 4868
	HMACSHA384 uint16 = 13 // AUTH_HMAC_SHA2_384_192, RFC 4868
	HMACSHA512 uint16 = 14 // AUTH_HMAC_SHA2_512_256, RFC 4868
)

// The errors of NewInbound and NewOutbound.
var (
	ErrCipher = errors.New("esp: unknown cipher")
	ErrKey    = errors.New("esp: key of the wrong length")
	ErrSPI    = errors.New("esp: reserved SPI")
	ErrWindow = errors.New("esp: replay window out of range")
)

// encryption is an encryption algorithm. It has a transform, which authenticates as well, or a
// textCipher, which needs an integrity algorithm.
type encryption struct {
	name    string // % stands for the length of the key
	keyBits []uint16
	// saltLen is the length of the salt, the part of the key material that precedes each IV in the
	// nonce, in octets.
	saltLen int
	format  Format // with ICV 0, the integrity algorithm sets it
	whole   func(key []byte) (transform, error)
	text    func(key []byte) (textCipher, error)
}

var aesBits = []uint16{128, 192, 256}

// encryptions holds every encryption algorithm that may be negotiated. AES-CBC is aligned to its
// blocks, the others only as ESP wants it (RFC 4303, Section 2.4).
var encryptions = map[uint16]encryption{
	NULL:             {"null", []uint16{0}, 0, Format{0, 0, wordLen}, nil, newNULL},
	AESCBC:           {"aes%", aesBits, 0, Format{blockLen, 0, blockLen}, nil, newCBC},
	AESCTR:           {"aes%ctr", aesBits, 4, Format{8, 0, wordLen}, nil, newCTR},
	AESCCM8:          {"aes%ccm8", aesBits, 3, Format{8, 8, wordLen}, newCCM8, nil},
	AESCCM12:         {"aes%ccm12", aesBits, 3, Format{8, 12, wordLen}, newCCM12, nil},
	AESCCM16:         {"aes%ccm16", aesBits, 3, Format{8, 16, wordLen}, newCCM16, nil},
	AESGCM8:          {"aes%gcm8", aesBits, 4, Format{8, 8, wordLen}, newGCM8, nil},
	AESGCM12:         {"aes%gcm12", aesBits, 4, Format{8, 12, wordLen}, newGCM12, nil},
	AESGCM16:         {"aes%gcm16", aesBits, 4, usual, newGCM16, nil},
	NULLAuthAESGMAC:  {"aes%gmac", aesBits, 4, Format{8, 16, wordLen}, newGMAC, nil},
	ChaCha20Poly1305: {"chacha20poly1305", []uint16{256}, 4, usual, newChaCha20Poly1305, nil},
}

// lookup returns the algorithms of c. It reports false if they are not known, or do not go
// together: then an SA would be without authentication, or have two.
func (c Cipher) lookup() (e encryption, i integrity, ok bool) {
	e, ok = encryptions[c.ID]
	if !ok || !slices.Contains(e.keyBits, c.KeyBits) {
		return e, i, false
	}
	if e.whole != nil {
		return e, i, c.Auth == 0
	}
	i, ok = integrities[c.Auth]
	e.format.ICV = i.icvLen
	return e, i, ok
}

// CipherNamed returns the cipher with a name: see String.
func CipherNamed(name string) (Cipher, bool) {
	for id, e := range encryptions {
		for _, bits := range e.keyBits {
			if c := (Cipher{ID: id, KeyBits: bits}); e.whole != nil && c.String() == name {
				return c, true
			}
			for auth := range integrities {
				if c := (Cipher{id, bits, auth}); e.whole == nil && c.String() == name {
					return c, true
				}
			}
		}
	}
	return Cipher{}, false
}

// Format returns the lengths of the parts of packets; the zero Format for an unknown cipher.
func (c Cipher) Format() Format {
	e, _, ok := c.lookup()
	if !ok {
		return Format{}
	}
	return e.format
}

// KeyLen returns the length in octets of one direction's key material: the cipher's key, then the
// salt (RFC 4106, Section 8.1), then the key of the integrity algorithm (RFC 7296, Section 2.17).
// It is 0 for an unknown cipher.
func (c Cipher) KeyLen() int {
	encr, auth := c.KeyLens()
	return encr + auth
}

// KeyLens returns the parts of KeyLen: that of the encryption algorithm, with the salt, and that of
// the integrity algorithm.
func (c Cipher) KeyLens() (encr, auth int) {
	e, i, ok := c.lookup()
	if !ok {
		return 0, 0
	}
	return int(c.KeyBits)/8 + e.saltLen, i.keyLen
}

// Encrypts reports whether the cipher hides what it protects.
func (c Cipher) Encrypts() bool { return c.ID != NULL && c.ID != NULLAuthAESGMAC }

// String returns the cipher's name in configurations, such as "aes256gcm16" or "aes128-sha256".
func (c Cipher) String() string {
	e, i, ok := c.lookup()
	if !ok {
		name := fmt.Sprintf("encryption %d with %d bits", c.ID, c.KeyBits)
		if c.Auth != 0 {
			name += fmt.Sprintf(" and integrity %d", c.Auth)
		}
		return name
	}
	name := strings.ReplaceAll(e.name, "%", fmt.Sprint(c.KeyBits))
	if i.name != "" {
		name += "-" + i.name
	}
	return name
}
