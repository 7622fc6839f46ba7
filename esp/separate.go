package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"

	"culvert/esp/aesmode"
)

const blockLen = aes.BlockSize

// separate is a cipher and an integrity algorithm: the text is encrypted, and all before the ICV is
// authenticated (RFC 4303, Section 3.3.2).
type separate struct {
	textCipher
	mac *keyedHMAC
}

// A textCipher encrypts and does not authenticate.
type textCipher interface {
	putIV(iv []byte, number uint64)
	// encrypt and decrypt work in place.
	encrypt(k *keyed, s *Scratch, iv, text []byte)
	decrypt(k *keyed, s *Scratch, iv, text []byte)
	Clear()
}

func newSeparate(e encryption, i integrity, key, authKey []byte) (transform, error) {
	c, err := e.text(key)
	return separate{c, newHMAC(i.hash, authKey)}, err
}

func (c separate) seal(k *keyed, s *Scratch, pkt, text []byte, seq uint64) {
	c.encrypt(k, s, pkt[HeaderLen:k.Headroom()], text)
	icv := k.icv(pkt)
	copy(icv, c.mac.sum(k, s, pkt[:len(pkt)-len(icv)], seq))
}

// open compares the ICV before it decrypts (RFC 4303, Section 3.4.4.1), so that what a forged text
// decrypts to decides nothing.
func (c separate) open(k *keyed, s *Scratch, pkt []byte, seq uint64) bool {
	icv, text := k.icv(pkt), k.Format.text(pkt)
	if !equal(c.mac.sum(k, s, pkt[:len(pkt)-len(icv)], seq), icv) || k.Align == blockLen && len(text)%blockLen != 0 {
		return false
	}
	c.decrypt(k, s, pkt[HeaderLen:k.Headroom()], text)
	return true
}

func (c separate) Clear() {
	c.textCipher.Clear()
	c.mac.clear()
}

// null does not encrypt (RFC 2410).
type null struct{}

func newNULL([]byte) (textCipher, error) { return null{}, nil }

func (null) putIV([]byte, uint64)                     {}
func (null) encrypt(*keyed, *Scratch, []byte, []byte) {}
func (null) decrypt(*keyed, *Scratch, []byte, []byte) {}
func (null) Clear()                                   {}

// ctr is AES-CTR. Its nonce is salt and IV (RFC 3686, Section 4).
type ctr struct{ *aesmode.CTR }

func newCTR(key []byte) (textCipher, error) {
	c, err := aesmode.NewCTR(key)
	return ctr{c}, err
}

func (c ctr) putIV(iv []byte, number uint64) { binary.BigEndian.PutUint64(iv, number) }

func (c ctr) encrypt(k *keyed, s *Scratch, iv, text []byte) {
	binary.LittleEndian.PutUint32(s.nonce[:], k.salt)
	copy(s.nonce[maxSaltLen:], iv)
	c.XOR(&s.modes, s.nonce[:], text)
}

func (c ctr) decrypt(k *keyed, s *Scratch, iv, text []byte) { c.encrypt(k, s, iv, text) }

// cbc is AES-CBC.
//
// RFC 3602, Section 3: "The IV MUST be chosen at random, and MUST be unpredictable." It is the
// packet's number, encrypted under a key that serves nothing else and never leaves this object
// (NIST SP 800-38A, Appendix C, with a key of its own). Who does not know it cannot tell the result
// from a random block that has not been there before.
type cbc struct{ block, ivs cipher.Block }

func newCBC(key []byte) (textCipher, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	var ivKey [16]byte
	defer clear(ivKey[:])
	_, _ = rand.Read(ivKey[:]) // never fails (crypto/rand)
	ivs, err := aes.NewCipher(ivKey[:])
	return cbc{block, ivs}, err
}

func (c cbc) putIV(iv []byte, number uint64) {
	clear(iv[:blockLen-8])
	binary.BigEndian.PutUint64(iv[blockLen-8:], number)
	c.ivs.Encrypt(iv, iv)
}

func (c cbc) encrypt(_ *keyed, _ *Scratch, iv, text []byte) { aesmode.EncryptCBC(c.block, iv, text) }

func (c cbc) decrypt(_ *keyed, _ *Scratch, iv, text []byte) { aesmode.DecryptCBC(c.block, iv, text) }

func (c cbc) Clear() {}
