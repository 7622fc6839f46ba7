package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"culvert/tun/protect"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// A Router leads remote networks to a device by routes in the system's only table. macOS has
// neither firewall marks nor policy rules, so that routes distinguish neither the tunnels' own
// packets from others nor local networks from each other. A remote network that contains a peer's
// outer address needs a route to that address, added by hand, and so do networks that are exempt
// from a remote one. A remote network of all addresses is refused.
type Router struct {
	mu     sync.Mutex
	index  int
	device string
	groups map[int]map[netip.Prefix]bool // remote networks by group
	have   map[netip.Prefix]bool
	closed bool
	seq    int
}

// NewRouter returns a router without networks. The routes of a killed daemon are gone with its
// device.
func NewRouter(cfg RouteConfig) (*Router, error) {
	return &Router{
		index: cfg.Device.Index(), device: cfg.Device.Name(), groups: make(map[int]map[netip.Prefix]bool), have: make(map[netip.Prefix]bool),
	}, nil
}

// Apply follows a change of the policies. After an error as many routes as possible are in force.
func (r *Router) Apply(c protect.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return os.ErrClosed
	}
	touched := make(map[netip.Prefix]bool)
	for _, g := range c.Groups {
		if g.Gone {
			for p := range r.groups[g.ID] {
				touched[p] = true
			}
			delete(r.groups, g.ID)
		}
	}
	for _, g := range c.Groups {
		if !g.Gone {
			r.follow(g, touched)
		}
	}
	var errs []error
	for p := range touched {
		errs = append(errs, r.settle(p))
	}
	return errors.Join(errs...)
}

// follow applies a change to one group, and adds the networks that it touches to touched.
func (r *Router) follow(g protect.GroupChange, touched map[netip.Prefix]bool) {
	remotes := r.groups[g.ID]
	if remotes == nil {
		remotes = make(map[netip.Prefix]bool)
		r.groups[g.ID] = remotes
	}
	for p, k := range g.Set {
		touched[p] = true
		delete(remotes, p)
		if k == protect.Protect {
			remotes[p] = true
		}
	}
	for _, p := range g.Unset {
		touched[p] = true
		delete(remotes, p)
	}
}

// settle adds or removes the route to p, as the groups need it.
func (r *Router) settle(p netip.Prefix) error {
	want := false
	for _, remotes := range r.groups {
		want = want || remotes[p]
	}
	switch {
	case want == r.have[p]:
		return nil
	case want && p.Bits() == 0:
		return fmt.Errorf("tun: remote network %s: on macOS the tunnels' own packets would take this route: replace it by smaller networks without the peer's address", p)
	case want:
		if err := r.change(unix.RTM_ADD, p); err != nil {
			return fmt.Errorf("tun: route %s to %s: %w", p, r.device, err)
		}
		r.have[p] = true
		return nil
	}
	delete(r.have, p)
	if err := r.change(unix.RTM_DELETE, p); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("tun: removing route %s: %w", p, err)
	}
	return nil
}

// change adds or deletes one route. The write to the routing socket returns the kernel's error.
func (r *Router) change(kind int, p netip.Prefix) error {
	r.seq++
	mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
	m := route.RouteMessage{
		Version: unix.RTM_VERSION, Type: kind, Flags: unix.RTF_UP | unix.RTF_STATIC,
		Index: r.index, ID: uintptr(os.Getpid()), Seq: r.seq,
		Addrs: []route.Addr{unix.RTAX_DST: routeAddr(p.Addr().AsSlice()), unix.RTAX_GATEWAY: &route.LinkAddr{Index: r.index}, unix.RTAX_NETMASK: routeAddr(mask)},
	}
	b, err := m.Marshal()
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, b)
	return err
}

func routeAddr(b []byte) route.Addr {
	if len(b) == net.IPv4len {
		return &route.Inet4Addr{IP: [4]byte(b)}
	}
	return &route.Inet6Addr{IP: [16]byte(b)}
}

// Close removes every route. There are no fences to keep. It may be called more than once.
func (r *Router) Close(keepFences bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.groups = nil
	var errs []error
	for p := range r.have {
		errs = append(errs, r.settle(p))
	}
	return errors.Join(errs...)
}

// Counters returns nil: the router does not watch routes on this system.
func (r *Router) Counters() map[string]uint64 { return nil }

// Table returns 0: there is only one table.
func (r *Router) Table() int { return 0 }

// Forwarding reports whether the host forwards packets, as a gateway for other hosts must.
func Forwarding() (v4, v6 bool) {
	on := func(name string) bool {
		n, err := unix.SysctlUint32(name)
		return err == nil && n != 0
	}
	return on("net.inet.ip.forwarding"), on("net.inet6.ip6.forwarding")
}
