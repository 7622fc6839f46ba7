package netio

import (
	"fmt"
	"log/slog"
	"net/netip"
)

// Config is the configuration of the sockets.
type Config struct {
	// Listen are local addresses for IKE and ESP; an unspecified one means all of its family, an
	// empty list all of both. If the host lacks the family of an unspecified address, that address
	// is left out with a line in the log.
	Listen  []netip.Addr
	IKEPort uint16 // 0: any free port (tests)
	NATPort uint16 // likewise
	Workers int    // number of Ports; less than 1 counts as 1, and macOS has no more
	// Mark is the firewall mark of every sent packet, by which routing tells them from packets for
	// the tunnels. 0: none. Linux only.
	Mark uint32
	// IKETOS is the TOS or traffic class octet of IKE: the DSCP in its upper six bits. Linux only.
	IKETOS   uint8
	RawESP   bool // also IP protocol 50, where the system supports it
	FastPath bool // protocol 50 may pass by the IP stack where the system and its policy allow it
	// OwnTables are tables of nftables, family inet, that accept all that the sockets send and
	// receive: ours.
	OwnTables []string
	// Owner is a name that no other daemon in the network namespace has, such as its TUN device's:
	// of filters of tc that outlast the process (Linux).
	Owner string
	NoTCX bool // programs at devices are attached as on kernels without tcx (tests)
	// NoOffloads turns UDP_SEGMENT and UDP_GRO off: datagrams are sent and received one by one.
	NoOffloads bool
	Log        *slog.Logger
}

func (c *Config) validate() error {
	if len(c.Listen) == 0 {
		c.Listen = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	seen := make(map[netip.Addr]bool)
	listen := make([]netip.Addr, 0, len(c.Listen))
	for _, a := range c.Listen {
		if a = a.Unmap(); !a.IsValid() {
			return fmt.Errorf("netio: listen: an address is missing")
		}
		if !seen[a] {
			seen[a] = true
			listen = append(listen, a)
		}
	}
	c.Listen = listen
	if c.IKEPort != 0 && c.IKEPort == c.NATPort {
		return fmt.Errorf("netio: ike_port and nat_port are both %d: they must differ, because only the NAT port carries both IKE and ESP (RFC 3948)", c.IKEPort)
	}
	c.Workers = min(max(1, c.Workers), maxWorkers)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// family returns an address' family in the words of package net.
func family(a netip.Addr) string {
	if a.Is4() {
		return "udp4"
	}
	return "udp6"
}
