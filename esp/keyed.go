package esp

import (
	"encoding/binary"
	"fmt"
)

// A transform protects packets as they lie: header, IV, text, ICV. It is safe for concurrent use
// with a Scratch for each goroutine.
type transform interface {
	// putIV writes the IV of the packet with this number, which no other packet under the key has.
	putIV(iv []byte, number uint64)
	// seal encrypts text behind header and IV of pkt, which is as long as the sealed packet, and
	// writes the ICV. text is there already. That of an aead may also lie elsewhere, if it does not
	// overlap pkt.
	seal(k *keyed, s *Scratch, pkt, text []byte, seq uint64)
	// open decrypts the text of pkt in place, and reports whether the packet is authentic. pkt has
	// the length of all parts at least. The text of a packet that is not must not be used.
	open(k *keyed, s *Scratch, pkt []byte, seq uint64) bool
	// Clear wipes the key as far as the cipher supports it. The ciphers of the standard library
	// cannot be wiped: their memory is left to the collector.
	Clear()
}

// keyed is a cipher with its key, the common part of both directions.
type keyed struct {
	whole  packetAEAD // AES-GCM-16, if it has methods for packets; otherwise nil
	other  transform  // nil beside whole
	salt   uint32     // its first octet lowest
	spi    uint32
	esn    bool
	across bool // an aead, which takes text from elsewhere, and the Format is usual
	Format
}

// newKeyed checks values from outside. Its errors never contain key octets.
func newKeyed(spi uint32, c Cipher, key []byte, esn bool) (keyed, error) {
	// RFC 4303, Section 2.1: zero is never sent, and the IANA reserves 1 to 255.
	if spi < 256 {
		return keyed{}, fmt.Errorf("%w: %d", ErrSPI, spi)
	}
	if _, _, ok := c.lookup(); !ok {
		return keyed{}, fmt.Errorf("%w: %s", ErrCipher, c)
	}
	if len(key) != c.KeyLen() {
		return keyed{}, fmt.Errorf("%w: %d octets, %s takes %d in all", ErrKey, len(key), c, c.KeyLen())
	}
	k, err := c.keyed(key)
	if err != nil {
		return keyed{}, fmt.Errorf("esp: %s: %w", c, err)
	}
	k.spi, k.esn = spi, esn
	return k, nil
}

// keyed returns a known cipher with a key of the right length.
func (c Cipher) keyed(key []byte) (k keyed, err error) {
	e, i, _ := c.lookup()
	encr, _ := c.KeyLens()
	n := encr - e.saltLen
	var salt [4]byte
	copy(salt[:], key[n:encr])
	k = keyed{salt: binary.LittleEndian.Uint32(salt[:]), Format: e.format}
	if e.whole != nil {
		k.other, err = e.whole(key[:n])
	} else {
		k.other, err = newSeparate(e, i, key[:n], key[encr:])
	}
	if a, ok := k.other.(*aeadTransform); ok {
		k.across = true
		if whole, ok := a.aead.(packetAEAD); ok {
			k.whole, k.other = whole, nil
		}
	}
	return k, err
}

// seal seals text, whose length is that between header and ICV, into pkt.
func (k *keyed) seal(s *Scratch, pkt, text []byte, seq uint64) {
	if k.whole != nil {
		k.whole.SealPacket(pkt, text, k.salt, seq, k.esn)
		return
	}
	k.other.seal(k, s, pkt, text, seq)
}

// clear wipes the key and drops the only reference to it.
func (k *keyed) clear() {
	if k.whole != nil {
		wipe(k.whole)
	} else {
		k.other.Clear()
	}
	k.whole, k.other = nil, nil
	k.salt = 0
}

// text returns what lies between IV and ICV of a packet.
func (f Format) text(pkt []byte) []byte { return pkt[f.Headroom() : len(pkt)-int(f.ICV)] }

// icv returns the ICV of a packet.
func (f Format) icv(pkt []byte) []byte { return pkt[len(pkt)-int(f.ICV):] }
