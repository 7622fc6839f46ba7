// Package tun is the TUN device: its queues, offloads, addresses, routes and MTU, per operating system.
package tun

import "errors"

// ErrWouldBlock is returned by Queue.Read when no packet waits and by Queue.Write when the device's queue is full.
var ErrWouldBlock = errors.New("tun: would block")

// GSOType says how the segments of a super-packet are made.
type GSOType uint8

// The kinds of super-packet.
const (
	GSONone  GSOType = iota // one ordinary packet
	GSOTCPv4                // TCP over IPv4
	GSOTCPv6                // TCP over IPv6
	GSOUDP                  // UDP (USO), IPv4 or IPv6
)

// Packet is a packet or super-packet (GSO) read from or to be written to a TUN queue. Data is borrowed:
// after Read it is valid until the next Read on the same queue; Write does not keep it.
type Packet struct {
	Data []byte // from the IP header on

	GSO     GSOType
	SegSize uint16 // GSO: octets of upper-layer payload in each segment but the last
	HdrLen  uint16 // GSO: octets of IP and upper-layer header, repeated in each segment

	// NeedsChecksum says that the upper-layer checksum holds only the pseudo-header's sum and that the rest must be completed:
	// over Data[CsumStart:], stored at Data[CsumStart+CsumOffset:].
	NeedsChecksum         bool
	CsumStart, CsumOffset uint16
}

// Queue is one queue of a device. A queue belongs to one worker: not for concurrent use. Reads and writes never block.
type Queue interface {
	// Read reads one packet or super-packet into buf, leaving headroom octets free before Data for headers to be
	// written in place. It returns ErrWouldBlock if there is none; any other error is the device's end.
	Read(buf []byte, headroom int, p *Packet) error
	// Write writes one packet or super-packet whose octets are the concatenation of pieces (gathered with writev where
	// the OS has it); p describes it and p.Data is ignored. An error loses this packet only.
	Write(p *Packet, pieces [][]byte) error
	// FD is the descriptor to poll, or -1 where there is none and Read blocks instead.
	FD() int
	Close() error
}

// Helper is what a Queue may be besides: one whose worker can write to another worker's.
type Helper interface {
	// WriteFor is the Write of host, another queue of the same device. It needs nothing of host that its own worker changes, so that this one may use it meanwhile.
	WriteFor(host Queue, p *Packet, pieces [][]byte) error
}

// Refuser is what a Queue may be besides: one that learns which offloads the kernel has in name
// only.
type Refuser interface {
	// Offloads says which super-packets are still worth making. The others are cut by Write.
	Offloads() Offloads
}

// MaxPacket is the largest super-packet, and the least space after the headroom in a buffer given to Queue.Read.
const MaxPacket = 65535
