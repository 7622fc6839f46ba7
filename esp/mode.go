package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"culvert/esp/aesmode"
)

// modeTransform is a mode that encrypts and authenticates, with additional data and IVs as those of
// AES-GCM-16: short AES-GCM (RFC 4106) and AES-CCM (RFC 4309, Sections 4 and 5).
type modeTransform struct{ aesmode.Mode }

func newGCM8(key []byte) (transform, error)  { return asTransform(aesmode.NewShortGCM(key, 8)) }
func newGCM12(key []byte) (transform, error) { return asTransform(aesmode.NewShortGCM(key, 12)) }
func newCCM8(key []byte) (transform, error)  { return asTransform(aesmode.NewCCM(key, 8)) }
func newCCM12(key []byte) (transform, error) { return asTransform(aesmode.NewCCM(key, 12)) }
func newCCM16(key []byte) (transform, error) { return asTransform(aesmode.NewCCM(key, 16)) }

func asTransform(m aesmode.Mode, err error) (transform, error) { return modeTransform{m}, err }

func (m modeTransform) putIV(iv []byte, number uint64) { binary.BigEndian.PutUint64(iv, number) }

func (m modeTransform) seal(k *keyed, s *Scratch, pkt, text []byte, seq uint64) {
	nonce, aad := s.prepareFor(k, pkt, seq, m.NonceLen()-usualIV)
	m.Seal(&s.modes, nonce, text, aad, k.icv(pkt))
}

func (m modeTransform) open(k *keyed, s *Scratch, pkt []byte, seq uint64) bool {
	nonce, aad := s.prepareFor(k, pkt, seq, m.NonceLen()-usualIV)
	return m.Open(&s.modes, nonce, k.Format.text(pkt), aad, k.icv(pkt))
}

func (m modeTransform) Clear() { wipe(m.Mode) }

// gmac is AES-GMAC, which authenticates and does not encrypt (RFC 4543). It uses crypto/cipher,
// which takes long additional data faster than the assembly that is for packets of AES-GCM.
type gmac struct{ gcm cipher.AEAD }

func newGMAC(key []byte) (transform, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	return gmac{gcm}, err
}

func (g gmac) putIV(iv []byte, number uint64) { binary.BigEndian.PutUint64(iv, number) }

func (g gmac) seal(k *keyed, s *Scratch, pkt, _ []byte, seq uint64) {
	copy(k.icv(pkt), g.sum(k, s, pkt, seq))
}

func (g gmac) open(k *keyed, s *Scratch, pkt []byte, seq uint64) bool {
	return equal(g.sum(k, s, pkt, seq), k.icv(pkt))
}

// sum returns the tag of a packet. It covers SPI, sequence number, IV and text. RFC 4543, Section 7
// has the IV outside, but the test cases of its author (draft-mcgrew-gcm-test-01) and Linux have it
// inside.
func (g gmac) sum(k *keyed, s *Scratch, pkt []byte, seq uint64) []byte {
	nonce, aad := s.prepare(k, pkt, seq)
	s.long = append(append(s.long[:0], aad...), pkt[HeaderLen:len(pkt)-int(k.ICV)]...)
	return g.tag(s, nonce, s.long)
}

// tag returns the tag of data.
func (g gmac) tag(s *Scratch, nonce, data []byte) []byte {
	return g.gcm.Seal(s.sum[:0], nonce, nil, data)
}

func (g gmac) Clear() { wipe(g.gcm) }
