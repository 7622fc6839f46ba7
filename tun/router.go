package tun

import (
	"fmt"
	"log/slog"

	"culvert/tun/protect"
)

// RouteConfig holds the settings of a router: the device for protected traffic, and the mark and
// ports of the tunnels' own packets.
type RouteConfig struct {
	Device *Device
	// Mark is the firewall mark of the tunnels' own packets, which are never routed to the device.
	// It is required on Linux.
	Mark protect.Mark
	// Table is the first of the router's routing tables, at least 256. 0: the router chooses 4303,
	// or a higher one if another daemon uses that. Linux only.
	Table int
	// Priority is the priority of the first of the router's twelve rules. 0: the router chooses
	// one, and moves its rules before those that other programs put in front. Linux only.
	Priority int
	// Ports are the local UDP ports of the tunnels' own packets: IKE and NAT traversal.
	Ports []uint16
	// Fence adds an unreachable route behind each route to the device, which takes effect when the
	// device is gone. It is for systems without a guard (package tun/guard). Linux only.
	Fence bool
	// OnHost, if not nil, is called by a goroutine of the router after this host's addresses or
	// links changed. It must neither block nor call the router. Linux only.
	OnHost func()
	Log    *slog.Logger
}

// Incomplete is the error of a change of which the kernel refused a part. The rest is in force, and
// the router tries the refused part again by itself.
type Incomplete struct {
	Refused int    // number of rules and routes
	First   error  // of the refusals
	Remedy  string // "" if unknown
}

// Error returns the number of refusals, the first error, and the remedy if known.
func (e *Incomplete) Error() string {
	s := fmt.Sprintf("tun: the kernel refused %d of the routes to the tunnels, the others are in force; first error: %v", e.Refused, e.First)
	if e.Remedy != "" {
		s += ": " + e.Remedy
	}
	return s
}

// Unwrap returns the first error.
func (e *Incomplete) Unwrap() error { return e.First }
