package suite

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"culvert/ike/wire"
)

// PRF is a pseudorandom function of RFC 4868, Section 2.1.2, or PRF_HMAC_SHA1. It is stateless and
// may be used from any goroutine.
type PRF struct {
	id   wire.TransformID
	size int
	hash func() hash.Hash
}

// prfs are the supported PRFs. PRF_HMAC_SHA1 is for peers whose configuration names it; no default
// proposal has it.
var prfs = map[wire.TransformID]*PRF{
	wire.PRFHMACSHA1:    {wire.PRFHMACSHA1, sha1.Size, sha1.New},
	wire.PRFHMACSHA2256: {wire.PRFHMACSHA2256, sha256.Size, sha256.New},
	wire.PRFHMACSHA2384: {wire.PRFHMACSHA2384, sha512.Size384, sha512.New384},
	wire.PRFHMACSHA2512: {wire.PRFHMACSHA2512, sha512.Size, sha512.New},
}

// PRFByID returns the PRF with a transform ID. It reports false if the PRF is not supported.
func PRFByID(id wire.TransformID) (*PRF, bool) {
	p, ok := prfs[id]
	return p, ok
}

// ID returns the PRF's transform ID.
func (p *PRF) ID() wire.TransformID { return p.id }

// Size returns the length of the output in octets, which is also the preferred length of a key (RFC
// 7296, Section 2.14).
func (p *PRF) Size() int { return p.size }

// Sum returns prf(key, data) of the concatenated data.
func (p *PRF) Sum(key []byte, data ...[]byte) []byte {
	m := hmac.New(p.hash, key)
	for _, d := range data {
		m.Write(d)
	}
	return m.Sum(make([]byte, 0, p.size))
}

// maxBlocks is the largest number of PRF outputs for which prf+ is defined (RFC 7296, Section
// 2.13).
const maxBlocks = 255

// Plus returns the first n octets of prf+(key, seed), or nil if prf+ is not defined for n octets
// (RFC 7296, Section 2.13).
func (p *PRF) Plus(key, seed []byte, n int) []byte {
	if n < 0 || n > maxBlocks*p.size {
		return nil
	}
	out := make([]byte, 0, n+p.size)
	m := hmac.New(p.hash, key)
	for i := byte(1); len(out) < n; i++ {
		m.Reset()
		if i > 1 {
			m.Write(out[len(out)-p.size:])
		}
		m.Write(seed)
		m.Write([]byte{i})
		out = m.Sum(out)
	}
	clear(out[n:])
	return out[:n:n]
}
