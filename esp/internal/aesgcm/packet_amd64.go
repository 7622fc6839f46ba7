package aesgcm

import (
	"encoding/binary"
	"math/bits"
	"runtime"
)

// sealPacketYMM and sealPacketXMM seal the n octets at text into the ESP packet at packet, which
// begins with its header and its IV, and append the tag. number is the sequence number as it is
// authenticated, in memory order, and aad the length of SPI and number. text is behind the IV, or
// elsewhere; if it overlaps the output otherwise, ok is false and nothing is written.
func sealPacketYMM(k *schedule, packet, text *byte, n int, number uint64, aad int, salt uint32) (ok bool)

func sealPacketXMM(k *schedule, packet, text *byte, n int, number uint64, aad int, salt uint32) (ok bool)

// openPacketYMM and openPacketXMM decrypt the n octets behind the IV of the ESP packet at packet in
// place, and check the tag behind them. If it is forged, they hold octets that must not be used.
func openPacketYMM(k *schedule, packet *byte, n int, number uint64, aad int, salt uint32) (v verdict)

func openPacketXMM(k *schedule, packet *byte, n int, number uint64, aad int, salt uint32) (v verdict)

// The parts of an ESP packet (RFC 4303, Section 2; RFC 4106, Section 3).
const (
	headerLen = 8
	headroom  = headerLen + 8 // header and IV
)

// SealPacket encrypts text, and writes it and its tag behind header and IV of packet, which is as
// long as all of them. salt has its first octet lowest. text is in its place in packet or does not
// overlap it.
func (v *vector) SealPacket(packet, text []byte, salt uint32, seq uint64, esn bool) {
	v.checkKey()
	n := len(packet) - headroom - tagLen
	if n != len(text) {
		panic("aesgcm: packet and text of different lengths")
	}
	if n == 0 || n > maxCall {
		nonce, aad := prepare(packet, salt, seq, esn)
		v.Seal(packet[:headroom], nonce, text, aad)
		return
	}
	number, aad := authenticated(seq, esn)
	var ok bool
	if v.ymm {
		ok = sealPacketYMM(v.k, &packet[0], &text[0], n, number, aad, salt)
	} else {
		ok = sealPacketXMM(v.k, &packet[0], &text[0], n, number, aad, salt)
	}
	runtime.KeepAlive(v) // the key must not be wiped before its use
	if !ok {
		panic("aesgcm: invalid buffer overlap of output and input")
	}
}

// OpenPacket decrypts the text of packet in place, and reports whether the packet is authentic. If
// it is not, its text is cleared.
func (v *vector) OpenPacket(packet []byte, salt uint32, seq uint64, esn bool) bool {
	v.checkKey()
	n := len(packet) - headroom - tagLen
	if n < 0 {
		return false
	}
	if n > maxCall {
		nonce, aad := prepare(packet, salt, seq, esn)
		_, err := v.Open(packet[headroom:headroom], nonce, packet[headroom:], aad)
		return err == nil
	}
	number, aad := authenticated(seq, esn)
	var says verdict
	if v.ymm {
		says = openPacketYMM(v.k, &packet[0], n, number, aad, salt)
	} else {
		says = openPacketXMM(v.k, &packet[0], n, number, aad, salt)
	}
	runtime.KeepAlive(v)
	if says != authentic {
		clear(packet[headroom:][:n])
		return false
	}
	return true
}

// authenticated returns the sequence number as it is authenticated, its first octet lowest, and the
// length of the additional data (RFC 4106, Section 5).
func authenticated(seq uint64, esn bool) (number uint64, aad int) {
	if esn {
		return bits.ReverseBytes64(seq), 12
	}
	return uint64(bits.ReverseBytes32(uint32(seq))), 8
}

// prepare returns the nonce and the additional data of a packet that the assembly does not take in
// one call.
func prepare(packet []byte, salt uint32, seq uint64, esn bool) (nonce, aad []byte) {
	nonce = append(binary.LittleEndian.AppendUint32(nil, salt), packet[headerLen:headroom]...)
	number, n := authenticated(seq, esn)
	aad = binary.LittleEndian.AppendUint64(append(aad, packet[:4]...), number)
	return nonce, aad[:n]
}
