package esp

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding"
	"hash"
	"runtime"
)

// integrity is an integrity algorithm: an HMAC (RFC 2104) with a key as long as the hash and a sum
// that is cut (RFC 4868, Section 2; RFC 2404). Lengths are in octets.
type integrity struct {
	name   string
	hash   int // in Scratch.hashes
	keyLen int
	icvLen uint8
}

const (
	hashSHA1 = iota
	hashSHA256
	hashSHA384
	hashSHA512
	hashCount

	maxSumLen = sha512.Size
)

// integrities holds every integrity algorithm that may be negotiated.
var integrities = map[uint16]integrity{
	HMACSHA1:   {"sha1", hashSHA1, sha1.Size, 12},
	HMACSHA256: {"sha256", hashSHA256, sha256.Size, 16},
	HMACSHA384: {"sha384", hashSHA384, sha512.Size384, 24},
	HMACSHA512: {"sha512", hashSHA512, sha512.Size, 32},
}

// newHash are the hashes of the integrity algorithms.
var newHash = [hashCount]func() hash.Hash{sha1.New, sha256.New, sha512.New384, sha512.New}

// A hasher is a hash whose state can be saved and restored.
type hasher interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// hash returns the goroutine's hash of a kind, in any state.
func (s *Scratch) hash(kind int) hasher {
	if s.hashes[kind] == nil {
		s.hashes[kind] = newHash[kind]().(hasher)
	}
	return s.hashes[kind]
}

// A keyedHMAC is an HMAC with its key: the states of the hash after the first block of the inner
// and of the outer sum, from which each packet starts. They are as secret as the key, and are wiped
// when nothing refers to the HMAC any more. Code that uses them must keep it alive until then.
type keyedHMAC struct {
	hash         int
	inner, outer []byte
}

// newHMAC returns the HMAC with a key no longer than a block of the hash.
func newHMAC(kind int, key []byte) *keyedHMAC {
	h := newHash[kind]().(hasher)
	state := func(pad byte) []byte {
		block := make([]byte, h.BlockSize())
		defer clear(block)
		for i := range block {
			block[i] = pad
		}
		subtle.XORBytes(block, block, key)
		h.Reset()
		h.Write(block)
		b, err := h.AppendBinary(nil)
		if err != nil {
			panic("esp: internal error: " + err.Error())
		}
		return b
	}
	m := &keyedHMAC{hash: kind, inner: state(0x36), outer: state(0x5c)} // RFC 2104, Section 2
	h.Reset()
	runtime.AddCleanup(m, func(states [2][]byte) {
		clear(states[0])
		clear(states[1])
	}, [2][]byte{m.inner, m.outer})
	return m
}

// sum returns the whole sum of a packet up to its ICV. With extended sequence numbers their high
// half follows, which is not sent (RFC 4303, Section 2.2.1).
func (m *keyedHMAC) sum(k *keyed, s *Scratch, pkt []byte, seq uint64) []byte {
	h := s.hash(m.hash)
	restore(h, m.inner)
	h.Write(pkt)
	if k.esn {
		s.high = [4]byte{byte(seq >> 56), byte(seq >> 48), byte(seq >> 40), byte(seq >> 32)}
		h.Write(s.high[:])
	}
	inner := h.Sum(s.sum[:0])
	restore(h, m.outer)
	h.Write(inner)
	sum := h.Sum(s.sum[:0])
	h.Reset() // a goroutine keeps no key beyond its SA
	runtime.KeepAlive(m)
	return sum
}

func restore(h hasher, state []byte) {
	if err := h.UnmarshalBinary(state); err != nil {
		panic("esp: internal error: " + err.Error())
	}
}

func (m *keyedHMAC) clear() {
	clear(m.inner)
	clear(m.outer)
}

// equal compares a sum, of which as much is used as an ICV is long, in constant time.
func equal(sum, icv []byte) bool { return subtle.ConstantTimeCompare(sum[:len(icv)], icv) == 1 }
