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
	link, err := n.links.LinkByIndex(index)
	if err != nil {
		return 0
	}
	mtu := link.Attrs().MTU
	if !v6 {
		return mtu
	}
	told, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + link.Attrs().Name + "/mtu")
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
	var local netip.Addr
	err := n.probe(remote, func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			local = netip.AddrFrom4(sa.Addr)
		case *unix.SockaddrInet6:
			local = netip.AddrFrom16(sa.Addr).WithZone(remote.Zone())
		}
		return nil
	})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("netio: no route to %s: %w", remote, err)
	}
	return n.answered(local), nil
}

// probe calls f with a socket connected to remote and marked like the others. It sends no packet.
func (n *Net) probe(remote netip.Addr, f func(fd int) error) error {
	remote = remote.Unmap()
	domain := unix.AF_INET
	if remote.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if n.mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(n.mark)); err != nil {
			return err
		}
	}
	if err := unix.Connect(fd, sockaddr(netip.AddrPortFrom(remote, n.natPort))); err != nil {
		return err
	}
	return f(fd)
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

// links is the netlink socket of LinkMTU, in the network namespace of the other sockets.
type links struct{ *netlink.Handle }

func (l *links) open() (err error) {
	if l.Handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netio: a netlink socket: %w", err)
	}
	return nil
}

func (l *links) close() { l.Handle.Close() }
