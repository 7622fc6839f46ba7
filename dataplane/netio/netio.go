// Package netio is the outer side of the packet path: sockets for raw protocol 50 and UDP 500/4500,
// their offloads and batches, and the demultiplexing of UDP 4500 (RFC 3948, Section 2.2).
package netio

import (
	"errors"

	"culvert/internal/ipsec"
)

// Errors that a worker must tell apart. After any other error in Outgoing.Err the datagrams are
// lost; the caller counts it as well.
var (
	ErrWouldBlock = errors.New("netio: would block")
	ErrTooBig     = errors.New("netio: larger than the device's MTU") // EMSGSIZE: LinkMTU has changed
	// An error of Send or SendIKE matches ErrNoRoute (errors.Is) if the system has no route from
	// the local address to the remote one: either may be gone.
	ErrNoRoute = errors.New("netio: no route from the local address")
)

// A sent run (Outgoing.SegSize) leaves whole within these limits: the kernel's UDP_MAX_SEGMENTS
// (later kernels allow more), and the 64 KB that devices take at once (gso_max_size), less an
// Ethernet header with a tag, IPv6 and UDP. A longer run is cut before it reaches the device.
const (
	MaxSegments = 64
	MaxRun      = 65535 - 18 - 40 - 8
)

// Kind is the kind of a received datagram.
type Kind uint8

// The kinds of datagram.
const (
	ESP       Kind = iota // ESP: Data begins with the ESP header, in UDP or not
	IKE                   // IKE, with the non-ESP marker removed
	Keepalive             // a NAT-keepalive (one octet 0xFF), or shorter than an SPI: only to be counted
)

// Received is one datagram, or several of one sender and one size that the kernel coalesced
// (UDP_GRO): then Data is cut every SegSize octets. Data is borrowed: it is valid until the next
// Recv by the same Port, and with More until the end of the burst.
type Received struct {
	Kind    Kind
	Data    []byte
	SegSize int        // 0: a single datagram
	Path    ipsec.Path // to the sender
	TOS     uint8      // the outer TOS or traffic class octet, for ECN (RFC 6040)
	More    bool       // Recv has more of this burst, or ErrWouldBlock; Data stays valid until the burst's end
}

// A Helper is a Port that can receive the packets of another worker's port.
type Helper interface {
	// RecvFor is Recv of host, another port of the same Net, except that the packets are in buf or
	// in memory of the helper. The callers must not let Recv and RecvFor of one host overlap, from
	// the first call of a burst to the last. Other methods of host may run meanwhile.
	RecvFor(host Port, buf []byte, in *Received) error
}

// A Sourcer is a Port with UDP source ports besides the NAT port.
type Sourcer interface {
	// Source returns a path as it is sent on from a source port that no other worker has; false:
	// there is none. Nothing is received at it. Any goroutine may call it.
	Source(ipsec.Path) (ipsec.Path, bool)
}

// Outgoing is one ESP datagram, or several of equal size (the last may be shorter) laid end to end
// and cut every SegSize octets (UDP_SEGMENT where the kernel has it). Send does not keep Data.
type Outgoing struct {
	Data    []byte
	SegSize int // 0: a single datagram
	Path    ipsec.Path
	TOS     uint8
	// Fragment lets IP fragment a datagram larger than the path MTU, instead of refusing it with
	// ErrTooBig: for IPv6 inside a path that does not carry its minimum of 1280 octets whole (RFC
	// 8200, Section 5).
	Fragment bool

	// Lost and Err are the result of Send: the number of unsent datagrams, and the error of the
	// first.
	Lost int
	Err  error
}

// Datagrams returns the number of datagrams of o.
func (o *Outgoing) Datagrams() int {
	if o.SegSize <= 0 {
		return 1
	}
	return (len(o.Data) + o.SegSize - 1) / o.SegSize
}

// A Port is the sockets of one worker. It is not safe for concurrent use, and never blocks.
type Port interface {
	// Recv receives one datagram or coalesced run from the ready descriptors, into buf or memory of
	// its own. It returns ErrWouldBlock if none is ready any more. Within a burst (Received.More)
	// the caller must pass the same buf and leave it untouched.
	Recv(buf []byte, in *Received) error
	// Send sends all of outs in as few system calls as possible, and sets the result in each. For
	// one remote, their order is the order on the wire. It keeps nothing of outs.
	Send(outs []Outgoing)
	// FDs returns the descriptors to poll for reading.
	FDs() []int
	// Ready marks FDs()[i] as readable. Recv reads it until it finds it dry, and then not before
	// the next Ready.
	Ready(i int)
}
