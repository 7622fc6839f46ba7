package esp

import (
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
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

// aeadTransform is an aead whose packets have the usual Format.
type aeadTransform struct{ aead }

func newGCM16(key []byte) (transform, error) {
	a, err := newAESGCM(key)
	return &aeadTransform{a}, err
}

func newChaCha20Poly1305(key []byte) (transform, error) {
	a, err := chacha20poly1305.New(key)
	return &aeadTransform{a}, err
}

func (a *aeadTransform) putIV(iv []byte, number uint64) { binary.BigEndian.PutUint64(iv, number) }

func (a *aeadTransform) seal(k *keyed, s *Scratch, pkt, text []byte, seq uint64) {
	nonce, aad := s.prepare(k, pkt, seq)
	a.Seal(pkt[:usualHeadroom], nonce, text, aad)
}

func (a *aeadTransform) open(k *keyed, s *Scratch, pkt []byte, seq uint64) bool {
	nonce, aad := s.prepare(k, pkt, seq)
	text := pkt[usualHeadroom:]
	_, err := a.Open(text[:0], nonce, text, aad)
	return err == nil
}

func (a *aeadTransform) Clear() { wipe(a.aead) }

// wipe wipes the key of a cipher that supports it.
func wipe(cipher any) {
	if w, ok := cipher.(interface{ Clear() }); ok {
		w.Clear()
	}
}
