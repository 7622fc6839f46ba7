package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"testing"
)

// primitives are the algorithms of a cipher as the standard library has them, for a text in place
// and for all octets before the ICV.
type primitives struct {
	block cipher.Block
	iv    []byte
	ctr   bool
	cbc   bool
	hash  hasher
	sum   [maxSumLen]byte
}

func newPrimitives(c Cipher) *primitives {
	p := &primitives{iv: text(16), ctr: c.ID == AESCTR, cbc: c.ID == AESCBC, hash: newHash[integrities[c.Auth].hash]().(hasher)}
	if c.KeyBits > 0 {
		p.block, _ = aes.NewCipher(text(int(c.KeyBits) / 8))
	}
	return p
}

func (p *primitives) authenticate(pkt []byte) {
	p.hash.Reset()
	p.hash.Write(pkt)
	p.hash.Sum(p.sum[:0])
}

// crypt encrypts or decrypts. The objects of crypto/cipher are made for each packet, as each has
// another IV.
func (p *primitives) crypt(text []byte, open bool) {
	switch {
	case p.ctr:
		cipher.NewCTR(p.block, p.iv).XORKeyStream(text, text)
	case p.cbc && open:
		cipher.NewCBCDecrypter(p.block, p.iv).CryptBlocks(text, text)
	case p.cbc:
		cipher.NewCBCEncrypter(p.block, p.iv).CryptBlocks(text, text)
	}
}

// separates are the ciphers of the benchmarks of separate algorithms.
var separates = []Cipher{{AESCBC, 128, HMACSHA256}, {AESCBC, 256, HMACSHA512}, {AESCTR, 128, HMACSHA256}, {NULL, 0, HMACSHA256}}

// BenchmarkSealSeparate is BenchmarkSealRun with a cipher and an HMAC, against crypto/aes, the mode
// of crypto/cipher and the hash without HMAC.
func BenchmarkSealSeparate(b *testing.B) {
	for _, c := range separates {
		b.Run(c.String(), func(b *testing.B) {
			const n = 1400
			x, p := newBench(b, c, n), newPrimitives(c)
			versus(b, func() { x.fill(n) }, func() {
				for _, pkt := range x.packets {
					p.crypt(x.out.Format.text(pkt), false)
					p.authenticate(pkt[:len(pkt)-int(x.out.ICV)])
				}
			}, func() {
				first, _, _ := x.out.Reserve(benchRun, benchRun*n)
				for i, pkt := range x.packets {
					x.out.Seal(&x.s, pkt, first+uint64(i), x.inner[i*n:][:n], NextIPv4)
				}
			})
		})
	}
}

// BenchmarkOpenSeparate is BenchmarkOpenRun with them.
func BenchmarkOpenSeparate(b *testing.B) {
	for _, c := range separates {
		b.Run(c.String(), func(b *testing.B) {
			const n = 1400
			x, p := newBench(b, c, n), newPrimitives(c)
			versus(b, func() { x.fill(n) }, func() {
				for _, pkt := range x.packets {
					p.authenticate(pkt[:len(pkt)-int(x.in.ICV)])
					p.crypt(x.in.Format.text(pkt), true)
				}
			}, func() { x.must(x.in.Open(&x.s, x.run[:])) })
		})
	}
}

// BenchmarkModes is packets of 1400 octets, sealed and opened.
func BenchmarkModes(b *testing.B) {
	list := []Cipher{{ID: AESGCM16, KeyBits: 256}, {ID: AESGCM8, KeyBits: 256}, {ID: AESCCM8, KeyBits: 256}, {ID: NULLAuthAESGMAC, KeyBits: 256}, {ID: ChaCha20Poly1305, KeyBits: 256}}
	for _, c := range append(list, separates...) {
		b.Run(c.String(), func(b *testing.B) {
			x := newBench(b, c, 1400)
			b.ReportAllocs()
			for b.Loop() {
				x.fill(1400)
				x.must(x.in.Open(&x.s, x.run[:]))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRun, "ns/packet")
		})
	}
}
