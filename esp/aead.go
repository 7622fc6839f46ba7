package esp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// The ciphers of the package (IANA "Transform Type 1 - Encryption Algorithm Transform IDs").
const (
	AESGCM16         uint16 = 20 // RFC 4106
	ChaCha20Poly1305 uint16 = 28 // RFC 7634
)

// saltLen is the length of the salt, the part of the key material that precedes each IV in the
// nonce (RFC 4106, Section 4; RFC 7634, Section 2).
const saltLen = 4

// The errors of NewInbound and NewOutbound.
var (
	ErrCipher = errors.New("esp: unknown cipher")
	ErrKey    = errors.New("esp: key of the wrong length")
	ErrSPI    = errors.New("esp: reserved SPI")
	ErrWindow = errors.New("esp: replay window out of range")
)

// aead is the part of cipher.AEAD that an SA uses, so that a faster implementation can take its
// place. Nonces have 12 octets, tags 16; the additional data has 8 octets, or 12 with extended
// sequence numbers. It must be safe for concurrent use. Buffers may overlap as with cipher.AEAD.
type aead interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

// packetAEAD is an aead that also processes an ESP packet as it lies. The result is that of prepare
// and the aead, but no nonce and no additional data are made for it. salt has its first octet
// lowest.
type packetAEAD interface {
	aead
	// SealPacket encrypts text behind header and IV of packet, which is as long as the sealed
	// packet. text is there already, or does not overlap packet.
	SealPacket(packet, text []byte, salt uint32, seq uint64, esn bool)
	// OpenPacket decrypts the packet in place and reports whether it is authentic.
	OpenPacket(packet []byte, salt uint32, seq uint64, esn bool) bool
}

// ciphers holds every cipher that may be negotiated.
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

// KeyLen returns the length in octets of one direction's key material: the cipher's key, then the
// salt (RFC 4106, Section 8.1). It is 0 for an unknown cipher.
func (c Cipher) KeyLen() int {
	if _, ok := ciphers[c]; !ok {
		return 0
	}
	return int(c.KeyBits)/8 + saltLen
}

// String returns the cipher's name in configurations.
func (c Cipher) String() string {
	if known, ok := ciphers[c]; ok {
		return known.name
	}
	return fmt.Sprintf("encryption %d with %d bits", c.ID, c.KeyBits)
}

// keyed is a cipher with its key, the common part of both directions.
type keyed struct {
	aead  aead
	whole packetAEAD // aead, or nil if it has no methods for packets
	salt  uint32     // its first octet lowest
	spi   uint32
	esn   bool
}

// newKeyed checks values from outside. Its errors never contain key octets.
func newKeyed(spi uint32, c Cipher, key []byte, esn bool) (keyed, error) {
	// RFC 4303, Section 2.1: zero is never sent, and the IANA reserves 1 to 255.
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
	return withAEAD(a, key[split:], spi, esn), nil
}

func withAEAD(a aead, salt []byte, spi uint32, esn bool) keyed {
	whole, _ := a.(packetAEAD)
	return keyed{aead: a, whole: whole, salt: binary.LittleEndian.Uint32(salt), spi: spi, esn: esn}
}

// seal seals text, whose length is that between header and ICV, into pkt.
func (k *keyed) seal(s *Scratch, pkt, text []byte, seq uint64) {
	if k.whole != nil {
		k.whole.SealPacket(pkt, text, k.salt, seq, k.esn)
		return
	}
	nonce, aad := s.prepare(k, pkt, seq)
	k.aead.Seal(pkt[:Headroom], nonce, text, aad)
}

// openByAEAD opens pkt in place by the aead, and reports whether it is authentic.
func (k *keyed) openByAEAD(s *Scratch, pkt []byte, seq uint64) bool {
	nonce, aad := s.prepare(k, pkt, seq)
	text := pkt[Headroom:]
	_, err := k.aead.Open(text[:0], nonce, text, aad)
	return err == nil
}

// clear wipes the expanded key if the cipher supports it, and drops the only reference to it. The
// ciphers of the standard library cannot be wiped: their memory is left to the collector.
func (k *keyed) clear() {
	if w, ok := k.aead.(interface{ Clear() }); ok {
		w.Clear()
	}
	k.aead, k.whole = nil, nil
	k.salt = 0
}
