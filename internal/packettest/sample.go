// Package packettest builds and checks packets for tests, by the plainest code there is: none of it
// is the code under test, except that CheckSums and Parse parse by package selector.
package packettest

import (
	"encoding/binary"
	"math/rand/v2"
)

const (
	protoTCP, protoUDP           = 6, 17
	ipv4HeaderLen, ipv6HeaderLen = 20, 40
	tcpHeaderLen, udpHeaderLen   = 20, 8
	tcpFIN, tcpPSH, tcpCWR       = 0x01, 0x08, 0x80
)

// Sample describes a TCP or UDP packet to build.
type Sample struct {
	V6         bool
	UDP        bool
	IPOptions  int // octets of IPv4 options or of an IPv6 destination-options header
	TCPOptions int
	Flags      uint8
	Seq        uint32
	ID         uint16
	Payload    []byte
}

// Build returns the packet with the checksums of a sender without checksum offload.
func (s Sample) Build() []byte {
	l4 := s.transport()
	var ip []byte
	if s.V6 {
		ip = make([]byte, ipv6HeaderLen+s.IPOptions)
		ip[0], ip[6], ip[7] = 0x60, s.proto(), 64
		if s.IPOptions > 0 {
			ip[6], ip[ipv6HeaderLen], ip[ipv6HeaderLen+1] = 60, s.proto(), uint8(s.IPOptions/8-1)
		}
		binary.BigEndian.PutUint16(ip[4:], uint16(s.IPOptions+len(l4)))
		copy(ip[8:], []byte{0x20, 1, 0xd, 0xb8, 15: 1})
		copy(ip[24:], []byte{0x20, 1, 0xd, 0xb8, 1, 15: 2})
	} else {
		ip = make([]byte, ipv4HeaderLen+s.IPOptions)
		ip[0], ip[8], ip[9] = 0x40|uint8(len(ip)/4), 64, s.proto()
		for i := ipv4HeaderLen; i < len(ip); i++ {
			ip[i] = 1 // no-operation
		}
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(l4)))
		binary.BigEndian.PutUint16(ip[4:], s.ID)
		copy(ip[12:], []byte{10, 1, 0, 1, 10, 2, 0, 2})
		binary.BigEndian.PutUint16(ip[10:], ^Fold(Sum16(ip)))
	}
	pkt := append(ip, l4...)
	at := len(ip) + s.csumOffset()
	sum := ^Fold(Sum16(slowPseudo(pkt, s.V6, s.proto(), l4)))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(pkt[at:], sum)
	return pkt
}

func (s Sample) proto() uint8 {
	if s.UDP {
		return protoUDP
	}
	return protoTCP
}

func (s Sample) transport() []byte {
	if s.UDP {
		h := make([]byte, udpHeaderLen, udpHeaderLen+len(s.Payload))
		binary.BigEndian.PutUint32(h, 1234<<16|5678)
		binary.BigEndian.PutUint16(h[4:], uint16(udpHeaderLen+len(s.Payload)))
		return append(h, s.Payload...)
	}
	h := make([]byte, tcpHeaderLen+s.TCPOptions, tcpHeaderLen+s.TCPOptions+len(s.Payload))
	binary.BigEndian.PutUint32(h, 1234<<16|5678)
	binary.BigEndian.PutUint32(h[4:], s.Seq)
	h[12], h[13] = uint8(len(h)/4)<<4, s.Flags
	for i := tcpHeaderLen; i < len(h); i++ {
		h[i] = 1
	}
	return append(h, s.Payload...)
}

// slowPseudo is the octets that an upper-layer checksum covers, for a checksum field of zero.
func slowPseudo(pkt []byte, v6 bool, proto uint8, l4 []byte) []byte {
	var b []byte
	if v6 {
		b = append(b, pkt[8:40]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(l4)))
		b = append(b, 0, 0, 0, proto)
	} else {
		b = append(b, pkt[12:20]...)
		b = append(b, 0, proto)
		b = binary.BigEndian.AppendUint16(b, uint16(len(l4)))
	}
	return append(b, l4...)
}

// Cut returns the segments of s with size octets of payload: each built from nothing.
func (s Sample) Cut(size int) [][]byte {
	var out [][]byte
	for off := 0; off == 0 || off < len(s.Payload); off += size {
		seg, end := s, min(off+size, len(s.Payload))
		seg.Payload = s.Payload[off:end]
		seg.Seq, seg.ID = s.Seq+uint32(off), s.ID+uint16(off/size)
		if end < len(s.Payload) {
			seg.Flags &^= tcpFIN | tcpPSH
		}
		if off > 0 {
			seg.Flags &^= tcpCWR
		}
		out = append(out, seg.Build())
	}
	return out
}

// RandomBytes returns n octets, the same in each run.
func RandomBytes(n int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func (s Sample) csumOffset() int {
	if s.UDP {
		return 6
	}
	return 16
}

// Unfinished returns the packet as the kernel gives a super-packet: with the sum of the
// pseudo-header alone in the checksum field, which is at start+offset. headers is their length.
func (s Sample) Unfinished() (pkt []byte, headers, start, offset int) {
	pkt = s.Build()
	headers = len(pkt) - len(s.Payload)
	start, offset = headers-len(s.transport())+len(s.Payload), s.csumOffset()
	pseudo := slowPseudo(pkt, s.V6, s.proto(), pkt[start:])
	sum := Fold(Sum16(pseudo[:len(pseudo)-len(pkt[start:])]))
	binary.BigEndian.PutUint16(pkt[start+offset:], sum)
	return pkt, headers, start, offset
}
