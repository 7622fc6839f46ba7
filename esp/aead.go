package esp

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// IANA "Transform Type 1 - Encryption Algorithm Transform IDs" of the ciphers that the package knows.
const (
	AESGCM16         uint16 = 20 // RFC 4106
	ChaCha20Poly1305 uint16 = 28 // RFC 7634
)

// saltLen is the part of the key material that goes in front of each IV to make the nonce (RFC 4106, Section 4; RFC 7634, Section 2).
const saltLen = 4

// Why an SA cannot be made.
var (
	ErrCipher = errors.New("esp: unknown cipher")
	ErrKey    = errors.New("esp: key of the wrong length")
	ErrSPI    = errors.New("esp: SPI that no SA may have")
	ErrWindow = errors.New("esp: impossible replay window")
)

// aead is all that an SA asks of its cipher, and the joint at which a faster implementation is put in. Nonces are 12 octets, tags 16; the
// additional data is 8 octets, or 12 with extended sequence numbers. It must be safe for concurrent use, and its rules on
// overlapping buffers are those of cipher.AEAD, of which it is a part.
type aead interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

// ciphers is every cipher that may be negotiated: what is not here is not supported.
var ciphers = map[Cipher]struct {
	name string
	new  func(key []byte) (aead, error)
}{
	{AESGCM16, 128}:         {"aes128gcm16", newAESGCM},
	{AESGCM16, 192}:         {"aes192gcm16", newAESGCM},
	{AESGCM16, 256}:         {"aes256gcm16", newAESGCM},
	{ChaCha20Poly1305, 256}: {"chacha20poly1305", newChaCha20Poly1305},
}

func newChaCha20Poly1305(key []byte) (aead, error) { return chacha20poly1305.New(key) }

// KeyLen is the octets of key material that one direction takes: the cipher's key and the salt behind it (RFC 4106, Section 8.1). It is 0 for a
// cipher that the package does not know.
func (c Cipher) KeyLen() int {
	if _, ok := ciphers[c]; !ok {
		return 0
	}
	return int(c.KeyBits)/8 + saltLen
}

// String is the cipher's name as configurations write it.
func (c Cipher) String() string {
	if known, ok := ciphers[c]; ok {
		return known.name
	}
	return fmt.Sprintf("encryption %d with %d bits", c.ID, c.KeyBits)
}

// keyed is a cipher with its key: what both directions have in common.
type keyed struct {
	aead aead
	salt [saltLen]byte
	spi  uint32
	esn  bool
}

// newKeyed checks what came from outside. Its errors never hold key octets.
func newKeyed(spi uint32, c Cipher, key []byte, esn bool) (keyed, error) {
	// RFC 4303, Section 2.1: zero never goes on the wire, and the IANA reserves 1 to 255.
	if spi < 256 {
		return keyed{}, fmt.Errorf("%w: %d", ErrSPI, spi)
	}
	known, ok := ciphers[c]
	if !ok {
		return keyed{}, fmt.Errorf("%w: %s", ErrCipher, c)
	}
	if len(key) != c.KeyLen() {
		return keyed{}, fmt.Errorf("%w: %d octets, %s takes %d with the salt", ErrKey, len(key), c, c.KeyLen())
	}
	split := len(key) - saltLen
	a, err := known.new(key[:split])
	if err != nil {
		return keyed{}, fmt.Errorf("esp: %s: %w", c, err)
	}
	return keyed{aead: a, salt: [saltLen]byte(key[split:]), spi: spi, esn: esn}, nil
}

// clear wipes the expanded key, and drops the only reference to it. The standard library has no way to wipe one: its memory is the collector's.
func (k *keyed) clear() {
	if w, ok := k.aead.(interface{ Clear() }); ok {
		w.Clear()
	}
	k.aead = nil
	k.salt = [saltLen]byte{}
}
