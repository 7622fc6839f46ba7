// Package tun is the TUN device: its queues, offloads, addresses, routes and MTU, per operating system.
package tun

import (
	"culvert/tun/gso"
	"errors"
)

// ErrWouldBlock is returned by Queue.Read when no packet waits and by Queue.Write when the device's queue is full.
var ErrWouldBlock = errors.New("tun: would block")

// Queue is one queue of a device. A queue belongs to one worker: not for concurrent use. Reads and writes never block.
type Queue interface {
	// Read reads one packet or super-packet into buf, leaving headroom octets free before Data for headers to be
	// written in place. It returns ErrWouldBlock if there is none; any other error is the device's end.
	Read(buf []byte, headroom int, p *gso.Packet) error
	// Write writes one packet or super-packet whose octets are the concatenation of pieces (gathered with writev where
	// the OS has it); p describes it and p.Data is ignored. An error loses this packet only.
	Write(p *gso.Packet, pieces [][]byte) error
	// FD is the descriptor to poll, or -1 where there is none and Read blocks instead.
	FD() int
	Close() error
}

// Helper is what a Queue may be besides: one whose worker can write to another worker's.
type Helper interface {
	// WriteFor is the Write of host, another queue of the same device. It needs nothing of host that its own worker changes, so that this one may use it meanwhile.
	WriteFor(host Queue, p *gso.Packet, pieces [][]byte) error
}

// Refuser is what a Queue may be besides: one that learns which offloads the kernel has in name
// only.
type Refuser interface {
	// Offloads says which super-packets are still worth making. The others are cut by Write.
	Offloads() gso.Offloads
}
