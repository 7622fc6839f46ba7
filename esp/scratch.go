package esp

import (
	"encoding/binary"

	"culvert/esp/aesmode"
)

// A Scratch is one goroutine's working space for Seal and Open. It saves allocations for each
// packet, since its octets are passed through interfaces. The zero value is ready; it serves any
// SA, one call at a time.
type Scratch struct {
	nonce [maxSaltLen + usualIV]byte
	aad   [HeaderLen + 4]byte

	hashes [hashCount]hasher // made when first used
	sum    [maxSumLen]byte
	high   [4]byte
	modes  aesmode.Work
	long   []byte // grows with the longest packet
}

const maxSaltLen = 4

// prepare returns the nonce and the additional data of a packet with an IV of eight octets. They
// are all of its header and its IV.
func (s *Scratch) prepare(k *keyed, pkt []byte, seq uint64) (nonce, aad []byte) {
	binary.LittleEndian.PutUint32(s.nonce[:], k.salt)
	binary.NativeEndian.PutUint64(s.nonce[maxSaltLen:], binary.NativeEndian.Uint64(pkt[HeaderLen:]))
	binary.NativeEndian.PutUint32(s.aad[:], binary.NativeEndian.Uint32(pkt))
	if k.esn {
		// RFC 4106, Section 5: SPI, then all 64 bits of the sequence number; the high half is not
		// sent.
		binary.BigEndian.PutUint64(s.aad[4:], seq)
		return s.nonce[:], s.aad[:12]
	}
	binary.BigEndian.PutUint32(s.aad[4:], uint32(seq))
	return s.nonce[:], s.aad[:8]
}

// prepareFor is prepare for a salt of another length.
func (s *Scratch) prepareFor(k *keyed, pkt []byte, seq uint64, saltLen int) (nonce, aad []byte) {
	_, aad = s.prepare(k, pkt, seq)
	nonce = s.nonce[:saltLen+usualIV]
	copy(nonce[saltLen:], pkt[HeaderLen:])
	return nonce, aad
}
