package aesmode

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// errOpen is the error for an unauthentic text.
var errOpen = errors.New("aesmode: message authentication failed")

// CCM with a length of four octets and a nonce of eleven (RFC 4309, Sections 2 and 4).
const (
	ccmLengthLen = 4
	ccmNonceLen  = 15 - ccmLengthLen
	ccmMaxAAD    = 1<<16 - 1<<8 - 1 // from there on its length has another form
)

// ccm is AES-CCM (NIST SP 800-38C; RFC 3610). Its tag is a CBC-MAC over additional data and
// plaintext, encrypted with counter block 0; the text is encrypted with those from 1 on.
type ccm struct {
	block  cipher.Block
	ctr    *CTR
	tagLen int
}

// NewCCM returns AES-CCM with a key of 16, 24 or 32 octets, nonces of 11 octets and tags of 8, 12
// or 16. Additional data may have up to 65279 octets.
func NewCCM(key []byte, tagLen int) (Mode, error) {
	if tagLen != 8 && tagLen != 12 && tagLen != 16 {
		return nil, fmt.Errorf("aesmode: CCM with a tag of %d octets", tagLen)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	ctr, err := NewCTR(key)
	return &ccm{block, ctr, tagLen}, err
}

func (c *ccm) NonceLen() int { return ccmNonceLen }

func (c *ccm) TagLen() int { return c.tagLen }

// Clear wipes the key as far as the cipher supports it.
func (c *ccm) Clear() { c.ctr.Clear() }

func (c *ccm) Seal(w *Work, nonce, text, aad, tag []byte) {
	c.authenticate(w, nonce, text, aad)
	prefix := c.prefix(nonce)
	c.ctr.XOR(w, prefix[:], text)
	c.hide(w)
	copy(tag[:c.tagLen], w.mac[:])
}

func (c *ccm) Open(w *Work, nonce, text, aad, tag []byte) bool {
	prefix := c.prefix(nonce)
	c.ctr.XOR(w, prefix[:], text)
	c.authenticate(w, nonce, text, aad)
	c.hide(w)
	if subtle.ConstantTimeCompare(w.mac[:c.tagLen], tag) == 1 {
		return true
	}
	clear(text)
	return false
}

// prefix returns what counter blocks have before the counter: flags and nonce.
func (c *ccm) prefix(nonce []byte) (b [nonceLen]byte) {
	b[0] = ccmLengthLen - 1
	copy(b[1:], nonce[:ccmNonceLen])
	return b
}

// hide encrypts the tag in w.mac with counter block 0, whose nonce is in w.counter since XOR.
func (c *ccm) hide(w *Work) {
	c.ctr.single(w, 0, w.mac[:])
}

// authenticate puts the CBC-MAC into w.mac (NIST SP 800-38C, Appendix A.2).
func (c *ccm) authenticate(w *Work, nonce, text, aad []byte) {
	flags := byte((c.tagLen-2)/2<<3 | ccmLengthLen - 1)
	if len(aad) > 0 {
		flags |= 1 << 6
	}
	w.mac[0] = flags
	copy(w.mac[1:], nonce[:ccmNonceLen])
	binary.BigEndian.PutUint32(w.mac[1+ccmNonceLen:], uint32(len(text)))
	c.block.Encrypt(w.mac[:], w.mac[:])
	if len(aad) > 0 {
		c.addData(w, aad)
	}
	c.add(w, text)
}

// addData adds additional data, with its length before it.
func (c *ccm) addData(w *Work, aad []byte) {
	if len(aad) > ccmMaxAAD {
		panic("aesmode: additional data too long for CCM")
	}
	w.mac[0] ^= byte(len(aad) >> 8)
	w.mac[1] ^= byte(len(aad))
	n := subtle.XORBytes(w.mac[2:], w.mac[2:], aad)
	c.block.Encrypt(w.mac[:], w.mac[:])
	c.add(w, aad[n:])
}

// add adds octets, padded with zeros to whole blocks, to the CBC-MAC in w.mac.
func (c *ccm) add(w *Work, b []byte) {
	for len(b) > 0 {
		b = b[subtle.XORBytes(w.mac[:], w.mac[:], b):]
		c.block.Encrypt(w.mac[:], w.mac[:])
	}
}
