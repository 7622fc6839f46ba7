// Package gso cuts super-packets into packets (GSO) and gathers packets into super-packets (GRO),
// in place and without copying payload. It does no I/O and allocates nothing once it is set up.
//
//	Segmenter, Splitter   a super-packet of the device -> packets
//	Coalescer             packets -> super-packets for the device
//	ParseVnet, PutVnet    the virtio-net header that describes either
package gso

import "strings"

// Type is how the segments of a super-packet are made.
type Type uint8

// The types of super-packet.
const (
	None  Type = iota // one ordinary packet
	TCPv4             // TCP over IPv4
	TCPv6             // TCP over IPv6
	UDP               // UDP (USO), IPv4 or IPv6
)

// Packet is a packet or super-packet. Data is borrowed: the function that reads or writes the
// packet sets for how long.
type Packet struct {
	Data []byte // from the IP header on

	GSO     Type
	SegSize uint16 // GSO: octets of upper-layer payload in each segment but the last
	HdrLen  uint16 // GSO: octets of IP and upper-layer header, repeated in each segment

	// NeedsChecksum means that the upper-layer checksum field has only the pseudo-header's sum. It
	// is completed over Data[CsumStart:] and stored at Data[CsumStart+CsumOffset:].
	NeedsChecksum         bool
	CsumStart, CsumOffset uint16
}

// MaxPacket is the length of the largest super-packet.
const MaxPacket = 65535

// Offloads are the kinds of super-packet that a device takes and gives.
type Offloads struct {
	Checksum bool // packets read may need their checksum completed (Packet.NeedsChecksum)
	TSO      bool // TCP super-packets, both directions, IPv4 and IPv6
	USO      bool // UDP super-packets, both directions, IPv4 and IPv6
}

func (o Offloads) String() string {
	var on []string
	for _, f := range []struct {
		on   bool
		name string
	}{{o.Checksum, "checksum"}, {o.TSO, "tso"}, {o.USO, "uso"}} {
		if f.on {
			on = append(on, f.name)
		}
	}
	if len(on) == 0 {
		return "none"
	}
	return strings.Join(on, ",")
}
