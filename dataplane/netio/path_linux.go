package netio

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkMTU returns the MTU of the first hop from local (which may be missing) to remote: that of the
// device, or of the route if it has a smaller one. The kernel's path MTU is ignored, because any
// ICMP error can change it. 0 means that there is no route. LinkMTU is safe for concurrent use.
func (n *Net) LinkMTU(local, remote netip.Addr) int {
	remote = remote.Unmap()
	opts := &netlink.RouteGetOptions{Mark: n.mark, FIBMatch: true}
	if local = local.Unmap(); local.IsValid() && !local.IsUnspecified() {
		opts.SrcAddr = local.AsSlice()
	}
	opts.OifIndex = int(zoneID(remote))
	routes, err := n.links.RouteGetWithOptions(remote.AsSlice(), opts)
	if err != nil {
		return 0
	}
	least := 0
	for i := range routes {
		r := &routes[i]
		least = lesser(least, r.MTU)
		for _, hop := range hops(r) {
			least = lesser(least, n.deviceMTU(hop, remote.Is6()))
		}
	}
	return least
}

// hops returns the devices of a route.
func hops(r *netlink.Route) []int {
	if len(r.MultiPath) == 0 {
		return []int{r.LinkIndex}
	}
	list := make([]int, len(r.MultiPath))
	for i, hop := range r.MultiPath {
		list[i] = hop.LinkIndex
	}
	return list
}

// deviceMTU returns the MTU of a device: for IPv6 the one that a router advertised on its link, if
// that is smaller (RFC 4861, Section 4.6.4).
func (n *Net) deviceMTU(index int, v6 bool) int {
	name, mtu, err := n.links.device(index)
	if err != nil || !v6 {
		return mtu
	}
	told, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/mtu")
	if err != nil {
		return mtu
	}
	advertised, err := strconv.Atoi(strings.TrimSpace(string(told)))
	if err != nil {
		return mtu
	}
	return lesser(mtu, advertised)
}

// lesser returns the lesser of two MTUs, where 0 is unknown.
func lesser(a, b int) int {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// LocalAddr returns the system's choice of a source address for packets to remote, or, if no socket
// receives there, one of the listen addresses.
func (n *Net) LocalAddr(remote netip.Addr) (netip.Addr, error) {
	local, err := n.links.source(at(remote.Unmap(), n.natPort))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("netio: no route to %s: %w", remote, err)
	}
	return n.answered(local), nil
}

// Dialer returns a dialer whose connections carry mark and thus stay outside every tunnel: for
// lookups and other traffic that must work before a tunnel is up, even if a remote network is the
// whole Internet.
func Dialer(mark uint32) *net.Dialer {
	return &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		if mark == 0 {
			return nil
		}
		var err error
		if cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		}); cerr != nil {
			return cerr
		}
		return err
	}}
}
