package aesmode

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// EncryptCBC encrypts text in place, whole blocks, by cipher block chaining (NIST SP 800-38A,
// Section 6.2). crypto/cipher's implementation keeps the vector in an object, which would have to
// be made for each message and goroutine.
//
// The sum is written by one store, which the cipher loads: of two it would have to wait for both.
func EncryptCBC(block cipher.Block, iv, text []byte) {
	for last := iv; len(text) > 0; text = text[blockLen:] {
		this := text[:blockLen]
		subtle.XORBytes(this, this, last)
		block.Encrypt(this, this)
		last = this
	}
}

// DecryptCBC decrypts text in place, whole blocks. It goes from the last one to the first, so that
// what each is added to is still there.
func DecryptCBC(block cipher.Block, iv, text []byte) {
	for at := len(text) - blockLen; at >= 0; at -= blockLen {
		this, before := text[at:][:blockLen], iv
		if at > 0 {
			before = text[at-blockLen:][:blockLen]
		}
		block.Decrypt(this, this)
		addBlock(this, before)
	}
}

// addBlock adds the block b to the block a.
func addBlock(a, b []byte) {
	_, _ = a[blockLen-1], b[blockLen-1]
	low := binary.NativeEndian.Uint64(a) ^ binary.NativeEndian.Uint64(b)
	high := binary.NativeEndian.Uint64(a[8:]) ^ binary.NativeEndian.Uint64(b[8:])
	binary.NativeEndian.PutUint64(a, low)
	binary.NativeEndian.PutUint64(a[8:], high)
}
