package netio

import (
	"fmt"
	"log/slog"
	"net/netip"
)

// Config says where to listen.
type Config struct {
	// Listen are local addresses for IKE and ESP; unspecified ones mean all of their family. None: all of both.
	// A family that the host lacks is left out with a line in the log if its address is unspecified.
	Listen  []netip.Addr
	IKEPort uint16 // 0: any free one (tests)
	NATPort uint16 // likewise
	Workers int    // number of Ports; less than 1 counts as 1, and macOS has no more
	// Mark is the firewall mark of every packet sent, by which routing tells them from those to be tunnelled. 0: none. Linux only.
	Mark uint32
	// IKETOS is the TOS or traffic class octet of IKE: the DSCP in its upper six bits. Linux only.
	IKETOS uint8
	RawESP bool // also IP protocol 50, where the system can
	// NoOffloads leaves UDP_SEGMENT and UDP_GRO alone: each datagram is sent and received by itself.
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
		return fmt.Errorf("netio: ike_port and nat_port are both %d: they must differ, for only the second tells IKE from ESP (RFC 3948)", c.IKEPort)
	}
	c.Workers = min(max(1, c.Workers), maxWorkers)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// family names an address' family as the net package does.
func family(a netip.Addr) string {
	if a.Is4() {
		return "udp4"
	}
	return "udp6"
}
