package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// Router leads remote networks to a device by routes in the system's one table. macOS has no firewall marks and no policy rules, so that
// it cannot tell the tunnels' own packets from others, nor local networks from each other: a remote network that holds a peer's
// outer address needs a route to that address by hand, and one that holds every address is refused.
type Router struct {
	mu     sync.Mutex
	index  int
	device string
	have   map[netip.Prefix]bool
	closed bool
	seq    int
	log    *slog.Logger
}

// NewRouter makes a router without networks. Routes of a killed predecessor went with its device.
func NewRouter(cfg RouteConfig) (*Router, error) {
	r := &Router{index: cfg.Device.Index(), device: cfg.Device.Name(), have: make(map[netip.Prefix]bool), log: cfg.Log}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r, nil
}

// Set makes nets the networks that are routed to the device, changing only what differs. After an error as much as possible is in place.
func (r *Router) Set(nets []Net) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return os.ErrClosed
	}
	var errs []error
	want := make(map[netip.Prefix]bool)
	for _, n := range nets {
		if n.Remote.Bits() == 0 {
			errs = append(errs, fmt.Errorf("tun: remote network %s: macOS cannot keep the tunnel's own packets out of such a route: give it as smaller networks without the peer's address", n.Remote))
			continue
		}
		want[n.Remote.Masked()] = true
	}
	errs = append(errs, r.apply(want))
	return errors.Join(errs...)
}

// Refresh puts back routes that the system dropped, as it does when the device goes down.
func (r *Router) Refresh() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.have {
		if err := r.change(unix.RTM_ADD, p); err != nil && !errors.Is(err, unix.EEXIST) {
			r.log.Warn("routes to the tunnel are not complete", "device", r.device, "error", err)
		}
	}
}

func (r *Router) apply(want map[netip.Prefix]bool) error {
	var errs []error
	for p := range want {
		if r.have[p] {
			continue
		}
		if err := r.change(unix.RTM_ADD, p); err != nil {
			errs = append(errs, fmt.Errorf("tun: route %s to %s: %w", p, r.device, err))
			continue
		}
		r.have[p] = true
	}
	for p := range r.have {
		if want[p] {
			continue
		}
		if err := r.change(unix.RTM_DELETE, p); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("tun: removing route %s: %w", p, err))
		}
		delete(r.have, p)
	}
	return errors.Join(errs...)
}

// change adds or deletes one route. The kernel answers a write to the routing socket with its error.
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

// Close removes every route. It may be called more than once.
func (r *Router) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	return r.apply(nil)
}

// Table is 0: there is one table only.
func (r *Router) Table() int { return 0 }

// Forwarding says whether the host forwards packets between its networks and the tunnel, which a gateway whose local networks hold
// other hosts needs.
func Forwarding() (v4, v6 bool) {
	on := func(name string) bool {
		n, err := unix.SysctlUint32(name)
		return err == nil && n != 0
	}
	return on("net.inet.ip.forwarding"), on("net.inet6.ip6.forwarding")
}
