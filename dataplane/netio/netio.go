// Package netio is the outer side of the packet path: raw protocol 50 and UDP 500/4500 sockets, their offloads and
// batching, and the demultiplexing of what shares UDP 4500 (RFC 3948, Section 2.2).
package netio

import (
	"errors"
	"net/netip"
)

// Errors that a worker must tell apart. Anything else in Outgoing.Err lost what it says, and is counted by the caller too.
var (
	ErrWouldBlock = errors.New("netio: would block")
	ErrTooBig     = errors.New("netio: larger than the device's MTU") // EMSGSIZE: LinkMTU has changed
	// ErrNoRoute is what an error of Send or SendIKE also is (errors.Is) if the system has no
	// route from the local address to the remote one: either may be gone.
	ErrNoRoute = errors.New("netio: no route from the local address")
)

// A run that is sent (Outgoing.SegSize) leaves as one if it is no more than this: the kernel's UDP_MAX_SEGMENTS (later ones allow more), and the 64 KB that devices take whole
// (gso_max_size), less an Ethernet header with a tag, IPv6 and UDP. More is cut before it reaches the device.
const (
	MaxSegments = 64
	MaxRun      = 65535 - 18 - 40 - 8
)

// Kind says what a received datagram is.
type Kind uint8

// The kinds of datagram.
const (
	ESP       Kind = iota // ESP: Data begins with the ESP header, whichever way it came
	IKE                   // IKE, the non-ESP marker already taken off
	Keepalive             // a NAT-keepalive (one octet 0xFF), or too short to be anything: nothing to do but count
)

// Received is one datagram, or several of one sender and one size that the kernel coalesced (UDP_GRO): then Data is
// cut every SegSize octets. Data is borrowed: valid until the next Recv by the same Port, with More for longer.
type Received struct {
	Kind          Kind
	Data          []byte
	SegSize       int            // 0: a single datagram
	Local, Remote netip.AddrPort // outer destination and source; port 0 for raw ESP
	Encap         bool           // came in UDP; for IKE: came to the NAT port with the marker
	TOS           uint8          // the outer TOS or traffic class octet, for ECN (RFC 6040)
	More          bool           // the next Recv gives the next of this burst, or ErrWouldBlock; Data is valid through it, and so to the burst's end
}

// Helper is what a Port may be besides: one whose worker can receive what came to another worker's.
type Helper interface {
	// RecvFor is the Recv of host, another port of the same Net, but that what is received lies in buf or in memory of the helper's. Recv and RecvFor of one host
	// exclude each other, which is for their callers to see to: from the first call to the last of a burst. Nothing else of host need rest meanwhile.
	RecvFor(host Port, buf []byte, in *Received) error
}

// Outgoing is one ESP datagram, or several of equal size (the last may be shorter) laid end to end and cut every
// SegSize octets (UDP_SEGMENT where the kernel has it). Send does not keep Data.
type Outgoing struct {
	Data          []byte
	SegSize       int // 0: a single datagram
	Local, Remote netip.AddrPort
	Encap         bool
	TOS           uint8
	// Fragment lets IP fragment what is larger than the path MTU, instead of refusing it with ErrTooBig: for IPv6 inside a path that does not
	// carry its minimum of 1280 octets whole (RFC 8200, Section 5).
	Fragment bool

	// Lost and Err are Send's answer: how many of the datagrams were not sent, and why the first of them was not.
	Lost int
	Err  error
}

// Datagrams is how many datagrams o is.
func (o *Outgoing) Datagrams() int {
	if o.SegSize <= 0 {
		return 1
	}
	return (len(o.Data) + o.SegSize - 1) / o.SegSize
}

// Port is one worker's sockets. It is not for concurrent use, and never blocks.
type Port interface {
	// Recv receives one datagram (or coalesced run), into buf or memory of its own, from those descriptors that are ready. ErrWouldBlock: none is any more. Within a
	// burst (Received.More) buf must be the same, and is not touched.
	Recv(buf []byte, in *Received) error
	// Send sends all of outs that can be sent, in as few system calls as there can be, and says in each what became of it. Their order is the order on the wire, for
	// one remote. It keeps nothing of them.
	Send(outs []Outgoing)
	// FDs are the descriptors to poll for reading.
	FDs() []int
	// Ready says that FDs()[i] can be read. It stays ready until Recv finds it dry, and is left alone from then on until this is said again.
	Ready(i int)
}
