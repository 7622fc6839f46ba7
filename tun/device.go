package tun

import (
	"fmt"
	"log/slog"
	"strings"
)

// Config says what device to make.
type Config struct {
	Name   string // at most 15 octets; "culvert%d" lets the kernel choose the number; macOS: "utun" or "utunN"
	Queues int    // one for each worker; less than 1 counts as 1
	MTU    int    // 0: the system's default
	// Disable names offloads to do without, for drivers and tests that need it. Without Checksum there are none of the others.
	Disable Offloads
	Log     *slog.Logger
}

// Offloads is what a device does in hardware's stead: without one, the queues do the same work packet by packet, so
// that callers differ in speed only.
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

// maxName is IFNAMSIZ without the terminating zero.
const maxName = 15

func (c *Config) validate() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("tun: the device name is empty")
	case len(c.Name) > maxName:
		return fmt.Errorf("tun: device name %q is longer than %d octets", c.Name, maxName)
	case c.Name == "." || c.Name == ".." || strings.ContainsAny(c.Name, "/: \t\r\n"):
		return fmt.Errorf("tun: %q is no device name: it must not hold '/', ':' or blanks", c.Name)
	case c.MTU < 0 || c.MTU > MaxPacket:
		return fmt.Errorf("tun: MTU %d is out of range 0-%d", c.MTU, MaxPacket)
	}
	if c.Queues < 1 {
		c.Queues = 1
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
