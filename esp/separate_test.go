package esp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"math/bits"
	"testing"
)

// plainSeparate is a packet of separate algorithms by crypto/cipher and crypto/hmac alone.
func plainSeparate(sa *SA, seq uint64, iv, payload []byte, next uint8) []byte {
	encr := map[uint16]int{NULL: 0, AESCBC: 0, AESCTR: 4}[sa.Cipher.ID] + int(sa.Cipher.KeyBits)/8
	key, authKey := sa.Key[:encr], sa.Key[encr:]
	align := 4
	if sa.Cipher.ID == AESCBC {
		align = 16
	}
	text := bytes.Clone(payload)
	for n := byte(1); (len(text)+2)%align != 0; n++ {
		text = append(text, n)
	}
	text = append(text, byte(len(text)-len(payload)), next)
	switch sa.Cipher.ID {
	case AESCBC:
		block, _ := aes.NewCipher(key)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	case AESCTR:
		block, _ := aes.NewCipher(key[:encr-4])
		counter := append(append(bytes.Clone(key[encr-4:]), iv...), 0, 0, 0, 1)
		cipher.NewCTR(block, counter).XORKeyStream(text, text)
	}
	pkt := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, sa.SPI), uint32(seq))
	pkt = append(append(pkt, iv...), text...)
	hashes := map[uint16]func() hash.Hash{HMACSHA1: sha1.New, HMACSHA256: sha256.New, HMACSHA384: sha512.New384, HMACSHA512: sha512.New}
	mac := hmac.New(hashes[sa.Cipher.Auth], authKey)
	mac.Write(pkt)
	if sa.ESN {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(seq>>32)))
	}
	return append(pkt, mac.Sum(nil)[:map[uint16]int{HMACSHA1: 12, HMACSHA256: 16, HMACSHA384: 24, HMACSHA512: 32}[sa.Cipher.Auth]]...)
}

func TestSeparateAgainstPlainCode(t *testing.T) {
	for _, c := range allCiphers() {
		if c.Auth == 0 {
			continue
		}
		for _, esn := range []bool{false, true} {
			sa := pair(c, esn, 64)
			o := mustOut(t, sa)
			var s Scratch
			seq := uint64(0xfffffff0)
			if esn {
				seq = 0x1_fffffff0
			}
			for n := range 200 {
				got := o.Seal(&s, make([]byte, n+MaxOverhead), seq, text(n), NextIPv6)
				want := plainSeparate(sa, seq, got[HeaderLen:o.Headroom()], text(n), NextIPv6)
				if !bytes.Equal(got, want) {
					t.Fatalf("%s, esn %v: %d octets:\n%x, want\n%x", c, esn, n, got, want)
				}
			}
		}
	}
}

// Before the ICV is right nothing is decrypted; a text that is authentic and not of whole blocks is
// refused.
func TestSeparateOpensInOrder(t *testing.T) {
	sa := pair(Cipher{AESCBC, 128, HMACSHA256}, false, 64)
	in := mustIn(t, sa)
	var s Scratch
	pkt := bytes.Clone(mustOut(t, sa).Seal(&s, make([]byte, 200), 1, text(50), NextIPv4))
	forged := bytes.Clone(pkt)
	forged[len(forged)-1] ^= 1
	before := bytes.Clone(forged)
	if in.other.open(&in.keyed, &s, forged, 1) || !bytes.Equal(forged, before) {
		t.Error("a forgery was decrypted")
	}
	mac := in.other.(separate).mac
	for n := range 40 {
		odd := append(bytes.Clone(pkt[:in.Headroom()+n]), make([]byte, 16)...)
		copy(in.icv(odd), mac.sum(&in.keyed, &s, odd[:len(odd)-16], 1))
		p, _ := openOne(mustIn(t, sa), odd)
		if n%16 != 0 && p.Err != ErrICV && p.Err != ErrShort {
			t.Errorf("an authentic text of %d octets: %v", n, p.Err)
		}
	}
}

// TestCBCVectorsAreUnpredictable: the IVs of one key and of one number under two keys have nothing
// in common, and are not the numbers themselves; each is there once.
func TestCBCVectorsAreUnpredictable(t *testing.T) {
	sa := pair(Cipher{AESCBC, 128, HMACSHA256}, false, 64)
	ivs := map[[16]byte]bool{}
	var last [16]byte
	sum := 0
	const each = 500
	for range 2 { // two objects of the same keys, as after a restart with manual keys
		o := mustOut(t, sa)
		for seq := range uint64(each) {
			iv := [16]byte(o.Seal(new(Scratch), make([]byte, 200), seq+1, nil, NextIPv4)[HeaderLen:])
			if ivs[iv] {
				t.Fatalf("%x is there twice", iv)
			}
			ivs[iv] = true
			for i := range iv {
				sum += bits.OnesCount8(iv[i] ^ last[i])
			}
			last = iv
		}
	}
	// Half of 128 bits differ between neighbours, with a deviation of 5.7: the mean of 1000 is
	// within one of 64 but for a chance of less than one in 10^7.
	if mean := float64(sum) / (2 * each); mean < 63 || mean > 65 {
		t.Errorf("neighbours differ in %.2f bits, want 64", mean)
	}
	block, _ := aes.NewCipher(sa.Key[:16])
	var guess [16]byte
	guess[15] = 1
	block.Encrypt(guess[:], guess[:])
	if ivs[guess] {
		t.Error("the IV is made with the key of the text")
	}
}
