// Package tun provides the TUN device with its queues, offloads and MTU, and the router that leads
// protected traffic to it, for each operating system.
package tun

import (
	"culvert/tun/gso"
	"errors"
)

// ErrWouldBlock is the error of Queue.Read when no packet waits, and of Queue.Write when the
// device's queue is full.
var ErrWouldBlock = errors.New("tun: would block")

// A Queue is one queue of a device. It belongs to one worker and is not safe for concurrent use.
// Reads and writes never block.
type Queue interface {
	// Read reads one packet or super-packet into buf, and leaves headroom octets free before Data,
	// for headers that are written in place. It returns ErrWouldBlock if there is none. Any other
	// error means that the device is gone.
	Read(buf []byte, headroom int, p *gso.Packet) error
	// Write writes one packet or super-packet. Its octets are the concatenation of pieces (gathered
	// with writev where the OS has it); p describes it, and p.Data is ignored. An error loses only
	// this packet.
	Write(p *gso.Packet, pieces [][]byte) error
	// FD returns the descriptor to poll, or -1 where there is none and Read blocks instead.
	FD() int
	// Close closes the queue.
	Close() error
}

// A Helper is a Queue whose worker can use another worker's queue. Its methods use no state that
// host's worker changes, so that the latter may use host at the same time.
type Helper interface {
	// ReadFor reads from host, another queue of the same device, as host's Read would.
	ReadFor(host Queue, buf []byte, headroom int, p *gso.Packet) error
	// WriteFor writes to host, another queue of the same device, as host's Write would.
	WriteFor(host Queue, p *gso.Packet, pieces [][]byte) error
}

// A Refuser is a Queue that learns which offloads the kernel offers and then refuses.
type Refuser interface {
	// Offloads returns the kinds of super-packets that the kernel still takes. Write cuts the
	// others.
	Offloads() gso.Offloads
}
