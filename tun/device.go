package tun

import (
	"culvert/tun/gso"
	"fmt"
	"log/slog"
	"strings"
)

// Config holds the settings of a device.
type Config struct {
	// Name has at most 15 octets. With "culvert%d" the kernel chooses the number. On macOS it is
	// "utun" or "utunN".
	Name   string
	Queues int // one for each worker; less than 1 counts as 1
	MTU    int // 0: the system's default
	// Disable holds the offloads to switch off. Without Checksum the others are off as well.
	Disable gso.Offloads
	Log     *slog.Logger
}

// maxName is IFNAMSIZ without the terminating zero.
const maxName = 15

// validate checks the settings and sets defaults.
func (c *Config) validate() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("tun: the device name is empty")
	case len(c.Name) > maxName:
		return fmt.Errorf("tun: device name %q is longer than %d octets", c.Name, maxName)
	case c.Name == "." || c.Name == ".." || strings.ContainsAny(c.Name, "/: \t\r\n"):
		return fmt.Errorf("tun: %q is not a valid device name: it must not contain '/', ':' or blanks", c.Name)
	case c.MTU < 0 || c.MTU > gso.MaxPacket:
		return fmt.Errorf("tun: MTU %d is out of range 0-%d", c.MTU, gso.MaxPacket)
	}
	if c.Queues < 1 {
		c.Queues = 1
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
