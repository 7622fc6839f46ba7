package ipsec

import "net/netip"

// Obstacle is why packets do not reach a peer, as far as this host or an ICMP error tells.
type Obstacle uint8

// The obstacles. The first are of this host, which refuses to send.
const (
	NoObstacle        Obstacle = iota
	ObstacleRoute              // it has no route from the source to the destination; either may be gone
	ObstacleSource             // the source is not its address any more
	ObstacleFirewall           // a packet filter of its own drops what is sent
	ObstacleForbidden          // a route prohibits it
	// The others come from ICMP errors.
	ObstacleNet        // no route to the network
	ObstacleHost       // the host does not answer on its network
	ObstacleProtocol   // the host does not know the protocol, as a rule ESP without UDP
	ObstaclePort       // nothing listens at the port
	ObstacleProhibited // a firewall on the path, or the host's, refuses the packets
)

func (o Obstacle) String() string {
	return [...]string{
		NoObstacle: "nothing", ObstacleRoute: "no route from this host", ObstacleSource: "our address is gone",
		ObstacleFirewall: "a firewall of this host refuses what is sent (EPERM)", ObstacleForbidden: "a route of this host prohibits it (EACCES)",
		ObstacleNet: "network unreachable", ObstacleHost: "host unreachable", ObstacleProtocol: "protocol unreachable",
		ObstaclePort: "port unreachable", ObstacleProhibited: "prohibited by a firewall",
	}[o]
}

// Certain reports whether the obstacle is this host's own. Anybody can forge an ICMP error.
func (o Obstacle) Certain() bool { return o < ObstacleNet }

// Unreachable reports that what is sent on a path does not arrive.
type Unreachable struct {
	Why  Obstacle
	By   netip.Addr // who sent the ICMP error; invalid: this host refused to send
	Path Path       // of the packet that was not sent, or that the error quotes
	// What an ICMP error quotes of the packet: the SPI of ESP, or the initiator's SPI of IKE. Both
	// are 0 if the quote ends before.
	ESP uint32
	IKE uint64
}

// A SendError is an error of a send that this host refused.
type SendError struct {
	Why Obstacle
	Err error
}

func (e *SendError) Error() string { return e.Err.Error() }
func (e *SendError) Unwrap() error { return e.Err }
