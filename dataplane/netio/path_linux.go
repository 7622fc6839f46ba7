package netio

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// PathMTU is what the kernel now takes for the MTU of the path to remote from local (which may be missing): the device's, the route's, or
// what ICMP has told. 0 if there is no route. It may be called from any goroutine.
func (n *Net) PathMTU(local, remote netip.Addr) int {
	mtu := 0
	err := n.probe(local, remote, func(fd int) (err error) {
		if remote.Unmap().Is4() {
			mtu, err = unix.GetsockoptInt(fd, unix.SOL_IP, unix.IP_MTU)
			return err
		}
		mtu, err = unix.GetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MTU)
		return err
	})
	if err != nil {
		return 0
	}
	return mtu
}

// LocalAddr is the source address that the system would choose for packets to remote.
func (n *Net) LocalAddr(remote netip.Addr) (netip.Addr, error) {
	var local netip.Addr
	err := n.probe(netip.Addr{}, remote, func(fd int) error {
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
	return local, nil
}

// probe calls f with a socket connected to remote, marked as the real ones are. No packet is sent.
func (n *Net) probe(local, remote netip.Addr, f func(fd int) error) error {
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
	if local = local.Unmap(); local.IsValid() && !local.IsUnspecified() {
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(local, 0))); err != nil {
			return err
		}
	}
	if err := unix.Connect(fd, sockaddr(netip.AddrPortFrom(remote, n.natPort))); err != nil {
		return err
	}
	return f(fd)
}

// Dialer makes connections that carry mark, so that they stay outside every tunnel: for name look-ups and whatever else must work
// before a tunnel is up, even if a remote network is the whole Internet.
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
