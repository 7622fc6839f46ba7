package netio

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A links asks the kernel about routes and devices: in the network namespace, and with the mark, of
// the other sockets.
type links struct {
	*netlink.Handle
	mu     sync.Mutex // guards probes, and is held while one is connected
	probes [2]int     // a UDP socket for IPv4 and one for IPv6; -1: the host lacks the family
}

// open opens the sockets in the namespace of the calling thread.
func (l *links) open(mark uint32) (err error) {
	l.probes = [2]int{-1, -1}
	if l.Handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netio: a netlink socket: %w", err)
	}
	for i, domain := range []int{unix.AF_INET, unix.AF_INET6} {
		if l.probes[i], err = openProbe(domain, mark); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			l.close()
			return fmt.Errorf("netio: a socket to ask for routes: %w", err)
		}
	}
	return nil
}

func openProbe(domain int, mark uint32) (fd int, err error) {
	if fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if mark != 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// close is called once, after open. Questions are errors from then on.
func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Handle.Close()
	for i, fd := range l.probes {
		if fd >= 0 {
			unix.Close(fd)
		}
		l.probes[i] = -1
	}
}

// source returns the address that the kernel would send from to remote. It sends no packet.
func (l *links) source(remote netip.AddrPort) (local netip.Addr, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fd := l.probes[0]
	if remote.Addr().Is6() {
		fd = l.probes[1]
	}
	if fd < 0 {
		return local, unix.EAFNOSUPPORT
	}
	// Disconnected, the socket has no address or port at which a packet could reach it, and the
	// next connection chooses its source afresh.
	defer func() { err = errors.Join(err, disconnect(fd)) }()
	if err := unix.Connect(fd, sockaddr(remote)); err != nil {
		return local, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return local, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		local = netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		local = netip.AddrFrom16(sa.Addr).WithZone(remote.Addr().Zone())
	}
	return local, nil
}

// device returns the name and the MTU of a device.
func (l *links) device(index int) (name string, mtu int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fd := max(l.probes[0], l.probes[1])
	req, err := unix.NewIfreq("")
	if err != nil {
		return "", 0, err
	}
	req.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, req); err != nil {
		return "", 0, err
	}
	name = req.Name()
	if req, err = unix.NewIfreq(name); err != nil {
		return "", 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFMTU, req); err != nil {
		return "", 0, err
	}
	return name, int(req.Uint32()), nil
}

// disconnect takes the peer, the port and the source address from a UDP socket.
func disconnect(fd int) error {
	to := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to)), unsafe.Sizeof(to))
	if e != 0 {
		return e
	}
	return nil
}
