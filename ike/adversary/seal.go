package adversary

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// A direction protects what one side sends: by AES-GCM with an ICV of 16 octets (RFC 5282), or by
// AES-CBC and HMAC-SHA2-256-128 (RFC 7296, Section 3.14).
type direction struct {
	aead    cipher.AEAD
	salt    []byte
	block   cipher.Block
	macKey  []byte
	counter uint64
}

// sizes of the IV and of the ICV, in octets.
const (
	gcmIV, gcmICV = 8, 16
	cbcIV, cbcICV = aes.BlockSize, 16
)

var errCipher = errors.New("adversary: the proposal has another cipher than AES-GCM-16 or AES-CBC")

// directions returns what the original initiator sends, and what the responder does.
func directions(p wire.Proposal, k *suite.Keys) (initiator, responder *direction, err error) {
	encr := transform(p, wire.TransformENCR)
	if initiator, err = newDirection(encr, k.Ei, k.Ai); err == nil {
		responder, err = newDirection(encr, k.Er, k.Ar)
	}
	return initiator, responder, err
}

func newDirection(encr wire.Transform, ske, ska []byte) (*direction, error) {
	n := int(encr.KeyLength) / 8
	if n > len(ske) {
		return nil, errCipher
	}
	block, err := aes.NewCipher(ske[:n])
	if err != nil {
		return nil, err
	}
	switch encr.ID {
	case wire.EncrAESCBC:
		return &direction{block: block, macKey: append([]byte{}, ska...)}, nil
	case wire.EncrAESGCM16:
		aead, err := cipher.NewGCM(block)
		return &direction{aead: aead, salt: append([]byte{}, ske[n:]...)}, err
	}
	return nil, errCipher
}

// transform returns the first transform of a type.
func transform(p wire.Proposal, typ wire.TransformType) wire.Transform {
	for _, t := range p.Transforms {
		if t.Type == typ {
			return t
		}
	}
	return wire.Transform{}
}

// seal returns a message with SK{}, or with SKF{} if total is positive. plain ends with the padding
// and its length. If it is not of whole blocks, as AES-CBC wants it, what is over is not encrypted.
func (d *direction) seal(h wire.Header, part Part, plain []byte) []byte {
	next, fields := wire.PayloadSK, []byte(nil)
	if part.Total > 0 || part.SKF {
		next = wire.PayloadSKF
		fields = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, part.Number), part.Total)
	}
	iv, icv := gcmIV, gcmICV
	if d.block != nil {
		iv, icv = cbcIV, cbcICV
	}
	length := wire.PayloadHeaderLen + len(fields) + iv + len(plain) + icv
	b := appendHeader(nil, h, next, wire.HeaderLen+length)
	b = binary.BigEndian.AppendUint16(append(b, byte(part.First), 0), uint16(length)) // may be too long
	b = append(b, fields...)
	d.counter++
	if d.block != nil {
		return d.sealCBC(b, plain)
	}
	aad := len(b)
	b = binary.BigEndian.AppendUint64(b, d.counter)
	return d.aead.Seal(b, d.nonce(b[aad:]), plain, b[:aad])
}

func (d *direction) nonce(iv []byte) []byte {
	return append(append([]byte{}, d.salt...), iv[:gcmIV]...)
}

func (d *direction) sealCBC(b, plain []byte) []byte {
	iv := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte{}, d.macKey...), d.counter))
	b = append(b, iv[:cbcIV]...)
	start := len(b)
	b = append(b, plain...)
	whole := b[start : start+len(plain)/aes.BlockSize*aes.BlockSize]
	cipher.NewCBCEncrypter(d.block, iv[:cbcIV]).CryptBlocks(whole, whole)
	return append(b, d.mac(b)...)
}

func (d *direction) mac(b []byte) []byte {
	m := hmac.New(sha256.New, d.macKey)
	m.Write(b)
	return m.Sum(nil)[:cbcICV]
}

// open returns the content of a message whose encrypted body begins at an offset, with its padding.
func (d *direction) open(data []byte, offset int) ([]byte, bool) {
	if d.block != nil {
		return d.openCBC(data, offset)
	}
	if len(data) < offset+gcmIV+gcmICV {
		return nil, false
	}
	plain, err := d.aead.Open(nil, d.nonce(data[offset:]), data[offset+gcmIV:], data[:offset])
	return plain, err == nil
}

func (d *direction) openCBC(data []byte, offset int) ([]byte, bool) {
	end := len(data) - cbcICV
	if end < offset+2*cbcIV || (end-offset)%aes.BlockSize != 0 || !hmac.Equal(d.mac(data[:end]), data[end:]) {
		return nil, false
	}
	plain := append([]byte{}, data[offset+cbcIV:end]...)
	cipher.NewCBCDecrypter(d.block, data[offset:offset+cbcIV]).CryptBlocks(plain, plain)
	return plain, true
}

// padding returns the padding that a content of n octets needs, with its length.
func (d *direction) padding(n int) []byte {
	if d.block == nil {
		return []byte{0}
	}
	pad := make([]byte, aes.BlockSize-n%aes.BlockSize)
	pad[len(pad)-1] = byte(len(pad) - 1)
	return pad
}

// unpad returns the content without its padding.
func unpad(plain []byte) ([]byte, bool) {
	if len(plain) == 0 || int(plain[len(plain)-1]) >= len(plain) {
		return nil, false
	}
	return plain[:len(plain)-1-int(plain[len(plain)-1])], true
}
