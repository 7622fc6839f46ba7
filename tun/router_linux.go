package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// routeProtocol marks rules and routes as ours (rtm_protocol; the registered ones lie elsewhere).
	routeProtocol = 143
	// first is the first daemon's first table and first rule's priority: the number of the RFC that defines ESP.
	first = 4303
	// step is the distance between those numbers of two daemons in one network namespace.
	step = 10
	// maxDaemons bounds the search for free ones.
	maxDaemons = 64
)

// Router leads remote networks to a device by rules and tables of its own, without touching the main table or any setting of
// the system. plan.go says how. Its methods may be called from any goroutine.
type Router struct {
	mu     sync.Mutex
	device string
	index  int
	mark   uint32
	table  int // and table+1
	prio   int // the priority of the first rule
	nets   []Net
	nl     *netlink.Handle
	watch  *watcher
	closed bool
	log    *slog.Logger
}

// NewRouter makes a router without networks, in the calling thread's network namespace. What a predecessor that was killed left is
// removed, by the first Set if it stands where this router's rules will. It follows changes of the host's addresses and of the device's state from then on.
func NewRouter(cfg RouteConfig) (*Router, error) {
	if cfg.Mark == 0 {
		return nil, errors.New("tun: routing needs a firewall mark, or the tunnels' own packets would go into the tunnels")
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("tun: opening a netlink socket: %w", err)
	}
	r := &Router{device: cfg.Device.Name(), index: cfg.Device.Index(), mark: cfg.Mark, nl: nl, log: cfg.Log}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.start(cfg.Table); err != nil {
		nl.Close()
		return nil, err
	}
	return r, nil
}

func (r *Router) start(table int) error {
	if err := r.claim(table); err != nil {
		return err
	}
	// A killed predecessor's rules and routes of the same tables stay until Set, so that its fences stand until there is something
	// better.
	err := r.setRoute(claimed, routeTo{})
	if err != nil {
		return err
	}
	r.watch, err = newWatcher(r.Refresh)
	return err
}

// Set makes nets the networks that are routed to the device, changing only what differs. After an error as much as possible is
// in place; Refresh, or the next change of an address, tries again.
func (r *Router) Set(nets []Net) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return os.ErrClosed
	}
	r.nets = slices.Clone(nets)
	return r.refresh()
}

// Refresh compares the kernel's rules and routes with what they should be and mends the difference.
func (r *Router) Refresh() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if err := r.refresh(); err != nil {
		r.log.Warn("routes to the tunnel are not complete", "device", r.device, "error", err)
	}
}

func (r *Router) refresh() error {
	addrs, err := r.hostAddrs()
	if err != nil {
		return err
	}
	return r.apply(makePlan(r.nets, addrs))
}

// hostAddrs are the host's addresses that can be a packet's source beyond its link, in order.
func (r *Router) hostAddrs() ([]netip.Addr, error) {
	list, err := r.nl.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("tun: listing this host's addresses: %w", err)
	}
	const unusable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED
	var out []netip.Addr
	for _, l := range list {
		a, ok := netip.AddrFromSlice(l.IP)
		if a = a.Unmap(); !ok || !a.IsGlobalUnicast() || l.Flags&unusable != 0 {
			continue
		}
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out, nil
}

// Close removes every rule and route. It may be called more than once.
func (r *Router) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	err := r.apply(plan{})
	r.nl.Close()
	r.mu.Unlock()
	r.watch.close()
	return err
}

// Table is the first of the router's two tables.
func (r *Router) Table() int { return r.table }

// Forwarding says whether the host forwards packets between its networks and the tunnel. A gateway whose local networks hold
// other hosts needs it (sysctl net.ipv4.ip_forward, net.ipv6.conf.all.forwarding); it is the administrator's to switch on.
func Forwarding() (v4, v6 bool) {
	on := func(file string) bool {
		b, err := os.ReadFile("/proc/sys/net/" + file)
		return err == nil && strings.TrimSpace(string(b)) != "0"
	}
	return on("ipv4/ip_forward"), on("ipv6/conf/all/forwarding")
}
