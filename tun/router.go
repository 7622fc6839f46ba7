package tun

import (
	"fmt"
	"log/slog"

	"culvert/tun/protect"
)

// RouteConfig says which device protected traffic is led to, and how the packets of the tunnels
// themselves are told from the rest.
type RouteConfig struct {
	Device *Device
	// Mark is the firewall mark of the tunnels' own packets, which are never routed to the device.
	// Linux needs one.
	Mark protect.Mark
	// Table is the first of the routing tables that the router uses, from 256 on. 0: 4303, or more
	// if another daemon uses that. Linux only.
	Table int
	// Priority is that of the router's first rule; it uses twelve. 0: the router chooses, and moves
	// in front of rules that others put before its own. Linux only.
	Priority int
	// Ports are the UDP ports that the tunnels' own packets come to, IKE and NAT traversal.
	Ports []uint16
	// Fence has an unreachable route stand behind each route to the device, for when the device is
	// gone. It is for systems where no guard (package tun/guard) does that. Linux only.
	Fence bool
	// OnHost, if not nil, is called after this host's addresses or links changed, from a goroutine
	// of the router. It must not block, nor call the router. Linux only.
	OnHost func()
	Log    *slog.Logger
}

// Incomplete is the error of a change that the kernel took in part. What it took is in force, and
// the router tries the rest again by itself.
type Incomplete struct {
	Refused int   // rules and routes
	First   error // of the refusals
	Remedy  string
}

func (e *Incomplete) Error() string {
	s := fmt.Sprintf("tun: the kernel refused %d of the routes to the tunnels, the rest is in force; the first: %v", e.Refused, e.First)
	if e.Remedy != "" {
		s += ": " + e.Remedy
	}
	return s
}

func (e *Incomplete) Unwrap() error { return e.First }
