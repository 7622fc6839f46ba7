package aesgcm

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// eachPacketKey runs f for each implementation in assembly with a key of each length, and for
// crypto/cipher with the same key.
func eachPacketKey(t *testing.T, f func(t *testing.T, v *vector, std cipher.AEAD)) {
	t.Helper()
	eachKey(t, func(t *testing.T, ours, std cipher.AEAD) {
		if v, ok := ours.(*vector); ok {
			f(t, v, std)
		}
	})
}

// espPacket is an ESP packet to be sealed, with its nonce and its additional data by RFC 4106.
type espPacket struct {
	head  []byte // header and IV
	text  []byte
	salt  uint32
	seq   uint64
	esn   bool
	in    int // offset of the text's buffer; negative: in its place in the packet
	out   int // offset of the packet's buffer
	nonce []byte
	aad   []byte
}

func newESPPacket(r *rand.Rand, text []byte) *espPacket {
	x := &espPacket{text: text, salt: r.Uint32(), seq: r.Uint64() >> r.IntN(64), esn: r.IntN(2) == 0, in: r.IntN(80) - 16, out: r.IntN(64)}
	x.head = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, r.Uint32()), uint32(x.seq))
	x.aad = bytes.Clone(x.head)
	if x.esn {
		x.aad = binary.BigEndian.AppendUint64(bytes.Clone(x.head[:4]), x.seq)
	}
	x.head = binary.BigEndian.AppendUint64(x.head, r.Uint64())
	x.nonce = append(binary.LittleEndian.AppendUint32(nil, x.salt), x.head[headerLen:]...)
	return x
}

// sealed returns the packet as crypto/cipher seals it.
func (x *espPacket) sealed(std cipher.AEAD) []byte {
	return std.Seal(bytes.Clone(x.head), x.nonce, x.text, x.aad)
}

// agree seals and opens, and compares with crypto/cipher.
func (x *espPacket) agree(t *testing.T, v *vector, std cipher.AEAD) {
	t.Helper()
	n := len(x.text)
	what := fmt.Sprintf("%d octets from %d to %d, esn %v", n, x.in, x.out, x.esn)
	want := x.sealed(std)
	dst := newPlace(x.out, len(want))
	copy(dst.text, x.head)
	text := dst.text[headroom:][:n]
	if x.in >= 0 {
		src := newPlace(x.in, n)
		defer src.check(t, what)
		text = src.text
	}
	copy(text, x.text)
	v.SealPacket(dst.text, text, x.salt, x.seq, x.esn)
	same(t, what+": sealed", dst.text, want)
	dst.check(t, what)
	if x.in >= 0 {
		same(t, what+": what was to be sealed", text, x.text)
	}
	if !v.OpenPacket(dst.text, x.salt, x.seq, x.esn) {
		t.Fatalf("%s: not opened", what)
	}
	same(t, what+": opened", dst.text, append(append(bytes.Clone(x.head), x.text...), want[headroom+n:]...))
	dst.check(t, what+", opened")
}

// TestPacketEveryLength: packets of every length, at changing offsets, from elsewhere and in place,
// with numbers of both kinds.
func TestPacketEveryLength(t *testing.T) {
	all := sample(11, 2200)
	r := rand.New(rand.NewPCG(11, 12))
	eachPacketKey(t, func(t *testing.T, v *vector, std cipher.AEAD) {
		for n := range len(all) + 1 {
			newESPPacket(r, all[:n]).agree(t, v, std)
		}
	})
}

// TestPacketLong: up to the longest packet of IP, and beyond the limit of a call.
func TestPacketLong(t *testing.T) {
	all := sample(12, maxText)
	r := rand.New(rand.NewPCG(13, 14))
	eachPacketKey(t, func(t *testing.T, v *vector, std cipher.AEAD) {
		for _, n := range []int{9000, 65535 - 20 - headroom - tagLen, 1<<16 - 1, 1 << 16, 1<<16 + 1, maxText} {
			newESPPacket(r, all[:n]).agree(t, v, std)
		}
	})
}

// TestPacketOffsets: every offset of packet and text, for lengths with every kind of end.
func TestPacketOffsets(t *testing.T) {
	all := sample(13, 700)
	r := rand.New(rand.NewPCG(15, 16))
	eachPacketKey(t, func(t *testing.T, v *vector, std cipher.AEAD) {
		for in := -1; in < 33; in++ {
			for out := range 33 {
				x := newESPPacket(r, all[:((in+1)*33+out)%29*24+out&3])
				x.in, x.out = in, out
				x.agree(t, v, std)
			}
		}
	})
}

// TestPacketForgeries: no change of a packet, its salt, its number or its kind of number is opened.
// Nothing of the plaintext is left, and the other octets stay as they are.
func TestPacketForgeries(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	eachPacketKey(t, func(t *testing.T, v *vector, std cipher.AEAD) {
		for _, n := range []int{0, 2, 4, 8, 12, 16, 20, 68, 100, 256, 300, 800} {
			x := newESPPacket(r, bytes.Repeat([]byte{0xff}, n))
			good := x.sealed(std)
			x.refused(t, v, good, x.salt^1<<r.IntN(32), x.seq, x.esn)
			x.refused(t, v, good, x.salt, x.seq^1<<r.IntN(32), x.esn)
			x.refused(t, v, good, x.salt, x.seq, !x.esn)
			if x.esn {
				x.refused(t, v, good, x.salt, x.seq^1<<(32+r.IntN(32)), true)
			}
			for i := range len(good) * 8 {
				if i >= 32 && i < 64 {
					continue // the number is authenticated as it is given
				}
				bad := bytes.Clone(good)
				bad[i/8] ^= 1 << (i % 8)
				x.refused(t, v, bad, x.salt, x.seq, x.esn)
			}
			for cut := range len(good) {
				x.refused(t, v, good[:cut], x.salt, x.seq, x.esn)
			}
		}
	})
}

// refused checks that a packet is not opened, and what is left of it.
func (x *espPacket) refused(t *testing.T, v *vector, pkt []byte, salt uint32, seq uint64, esn bool) {
	t.Helper()
	p := newPlace(x.out, len(pkt))
	copy(p.text, pkt)
	if v.OpenPacket(p.text, salt, seq, esn) {
		t.Fatalf("%d octets: a forgery was opened", len(x.text))
	}
	p.check(t, "a forgery")
	want := bytes.Clone(pkt)
	if n := len(pkt) - headroom - tagLen; n > 0 {
		clear(want[headroom:][:n])
	}
	same(t, "what is left of a forgery", p.text, want)
}

// TestPacketContract: what cannot be sealed panics and leaves the packet as it was, as with Seal.
func TestPacketContract(t *testing.T) {
	eachPacketKey(t, func(t *testing.T, v *vector, _ cipher.AEAD) {
		for _, n := range []int{1, 40} {
			for d := -100; d <= 100; d++ {
				buf := bytes.Repeat([]byte{canary}, 400)
				pkt, text := buf[150:][:headroom+n+tagLen], buf[150+headroom+d:][:n]
				want := d != 0 && d > -n && d < n+tagLen
				if got := panics(func() { v.SealPacket(pkt, text, 1, 2, true) }); got != want {
					t.Errorf("%d octets, %d apart: panic %v", n, d, got)
				}
				if want && !bytes.Equal(buf, bytes.Repeat([]byte{canary}, 400)) {
					t.Errorf("%d octets, %d apart: something was written", n, d)
				}
			}
		}
		pkt := make([]byte, 100)
		for _, n := range []int{0, 1, 67, 69, 200} {
			if !panics(func() { v.SealPacket(pkt, make([]byte, n), 1, 2, true) }) {
				t.Errorf("a text of %d octets is sealed into a packet for 68", n)
			}
		}
		v.Clear()
		if !panics(func() { v.SealPacket(pkt, pkt[headroom:len(pkt)-tagLen], 1, 2, true) }) || !panics(func() { v.OpenPacket(pkt, 1, 2, true) }) {
			t.Error("a key that was cleared is used")
		}
	})
}

func TestPacketAllocatesNothing(t *testing.T) {
	eachPacketKey(t, func(t *testing.T, v *vector, _ cipher.AEAD) {
		pkt := make([]byte, 1440)
		if n := testing.AllocsPerRun(100, func() {
			v.SealPacket(pkt, pkt[headroom:len(pkt)-tagLen], 1, 2, true)
			v.OpenPacket(pkt, 1, 2, true)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzPacket: packets are sealed, opened and refused as by crypto/cipher.
func FuzzPacket(f *testing.F) {
	for _, n := range []int{0, 2, 4, 15, 16, 17, 68, 128, 256, 260, 1404} {
		f.Add(uint64(n), sample(uint64(n), 32), sample(uint64(n), n))
	}
	f.Fuzz(func(t *testing.T, seed uint64, keyed, text []byte) {
		r := rand.New(rand.NewPCG(seed, 1))
		key := make([]byte, keyLens[r.IntN(3)])
		copy(key, keyed)
		std := must(t, newGeneric, key)
		x := newESPPacket(r, text)
		foreign := append(bytes.Clone(x.head), text...) // the text as a ciphertext and its tag
		_, stdErr := std.Open(nil, x.nonce, text, x.aad)
		for name, e := range engines() {
			v, ok := must(t, e.new, key).(*vector)
			if !ok {
				continue
			}
			x.agree(t, v, std)
			if got := v.OpenPacket(bytes.Clone(foreign), x.salt, x.seq, x.esn); got != (stdErr == nil) {
				t.Fatalf("%s: opened %v, want %v", name, got, stdErr)
			}
		}
	})
}
