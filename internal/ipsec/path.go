package ipsec

import (
	"fmt"
	"net/netip"
)

// A Transport describes how the packets of a Path are carried. Its address is its identity; its
// fields never change.
type Transport struct {
	Name       string // for logs
	Headers    int    // octets between the IP header and an IKE message
	CarriesESP bool   // it carries ESP besides IKE
	Keepalives bool   // a NAT forgets it without traffic, so the side behind the NAT sends keepalives
	// Stream: each path is a connection, which carries IKE and ESP whole, whatever their size and
	// whatever NAT is between (RFC 9329). A path without a number is one that we open at the first
	// send, and which is opened again after it broke. A path with one was opened by the peer, and
	// ends with its connection.
	Stream bool
}

// The transports of IPsec, for each of which a function of this file makes paths.
var (
	// UDP is that of the IKE port.
	UDP = &Transport{Name: "udp", Headers: 8}
	// NAT is UDP at the NAT port, where IKE messages follow the non-ESP marker (RFC 3948, Section
	// 2.2).
	NAT = &Transport{Name: "udp-encap", Headers: 8 + 4, CarriesESP: true, Keepalives: true}
	// Raw is IP protocol 50, which carries only ESP.
	Raw = &Transport{Name: "esp"}
)

// A Path is how packets are exchanged with a peer: the transport, both addresses and, where there
// are several, the connection. What came on a Path is answered on the same Path. Paths are equal
// (==) if they are the same; no address in a Path is an IPv4-mapped one. The zero Path is invalid.
//
// The owner of the sockets makes Paths and interprets them. The others ask only for what the
// protocols need, and so do not depend on the transports.
type Path struct {
	local, remote         netip.Addr // an invalid local address: the system chooses
	localPort, remotePort uint16
	conn                  uint32
	via                   *Transport
}

// NewPath returns a path of a transport. A transport with connections tells them apart by conn.
func NewPath(via *Transport, local, remote netip.AddrPort, conn uint32) Path {
	return Path{
		local: local.Addr().Unmap(), remote: remote.Addr().Unmap(),
		localPort: local.Port(), remotePort: remote.Port(), conn: conn, via: via,
	}
}

// UDPPath returns a path from our IKE port.
func UDPPath(local, remote netip.AddrPort) Path { return NewPath(UDP, local, remote, 0) }

// NATPath returns a path from our NAT port.
func NATPath(local, remote netip.AddrPort) Path { return NewPath(NAT, local, remote, 0) }

// RawPath returns a path of IP protocol 50.
func RawPath(local, remote netip.Addr) Path {
	return NewPath(Raw, netip.AddrPortFrom(local, 0), netip.AddrPortFrom(remote, 0), 0)
}

// IsValid reports whether p leads anywhere.
func (p Path) IsValid() bool { return p.via != nil && p.remote.IsValid() }

// Via returns the transport.
func (p Path) Via() *Transport { return p.via }

// Local returns our address and port. The address may be invalid: the system chooses it. The ports
// of protocol 50 are 0.
func (p Path) Local() netip.AddrPort { return netip.AddrPortFrom(p.local, p.localPort) }

// Remote returns the peer's address and port.
func (p Path) Remote() netip.AddrPort { return netip.AddrPortFrom(p.remote, p.remotePort) }

// Conn returns the number of the connection; 0 without one.
func (p Path) Conn() uint32 { return p.conn }

// Is6 reports whether p is over IPv6.
func (p Path) Is6() bool { return p.remote.Is6() }

// Headers returns the number of octets of an IP packet in front of an IKE message.
func (p Path) Headers() int {
	if p.Is6() {
		return 40 + p.via.Headers
	}
	return 20 + p.via.Headers
}

// Encapsulated reports whether ESP on p has anything between it and the IP header.
func (p Path) Encapsulated() bool { return p.via != Raw && p.via != nil }

// Stream reports whether p is a connection.
func (p Path) Stream() bool { return p.via != nil && p.via.Stream }

// SameRemote reports whether p and q lead to the same address and port, by the same connection.
func (p Path) SameRemote(q Path) bool {
	return p.remote == q.remote && p.remotePort == q.remotePort && p.conn == q.conn
}

// WithLocal returns p from another of our addresses, and from the same port. A connection that the
// peer opened cannot be changed.
func (p Path) WithLocal(a netip.Addr) Path {
	if p.conn == 0 {
		p.local = a.Unmap()
	}
	return p
}

// WithLocalPort returns p from another of our ports.
func (p Path) WithLocalPort(port uint16) Path {
	p.localPort = port
	return p
}

// WithRemoteOf returns p with the remote address and port of q. If either is a connection, it is q:
// what comes on a connection is answered there.
func (p Path) WithRemoteOf(q Path) Path {
	if p.Stream() || q.Stream() {
		return q
	}
	p.remote, p.remotePort = q.remote, q.remotePort
	return p
}

// ToNATPort returns p, a path of IKE, as it continues after a NAT was detected: between the NAT
// ports (RFC 7296, Section 2.23). Any other path than one from the IKE port continues as it is.
func (p Path) ToNATPort(local, remote uint16) Path {
	if p.via == UDP {
		p.via, p.localPort, p.remotePort = NAT, local, remote
	}
	return p
}

// ToIKEPort returns p, a path between the NAT ports, as it continues between the IKE ports. Any
// other path continues as it is.
func (p Path) ToIKEPort(local, remote uint16) Path {
	if p.via == NAT {
		p.via, p.localPort, p.remotePort = UDP, local, remote
	}
	return p
}

// ESP returns the path of the Child SAs' packets beside p, a path of IKE. Over UDP, encap asks for
// UDP encapsulation, from natPort unless p is from there. Other transports carry both.
func (p Path) ESP(encap bool, natPort uint16) Path {
	switch {
	case p.via == UDP && encap:
		p.via, p.localPort = NAT, natPort
	case p.via == UDP, p.via == NAT && !encap:
		return RawPath(p.local, p.remote)
	}
	return p
}

// String returns p for logs and tests.
func (p Path) String() string {
	if p.via == nil {
		return "no path"
	}
	s := fmt.Sprintf("%v to %v by %s", p.Local(), p.Remote(), p.via.Name)
	if p.conn != 0 {
		s += fmt.Sprintf(" %d", p.conn)
	}
	return s
}
