package netio

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a worker's non-blocking socket.
type socket struct {
	fd    int
	v6    bool
	raw   bool           // IP protocol 50 rather than UDP
	frag  bool           // only sends, with fragmentation of large packets
	deaf  bool           // only sends, though others of its kind receive
	bound netip.AddrPort // the address may be unspecified
	drops uint32         // the kernel's last count of drops
	ready atomic.Bool    // there may be packets to read: set by the worker, cleared by any port that finds none
	side  sidings        // the paths of remotes that fill the send buffer
	shedding
	bypass *bypass // the packet socket beside a raw one; nil: none
	none   [1]byte // unused space for the data of ICMP errors
}

// open opens s, whose kind and address are set, with every option but the filters.
func (s *socket) open(cfg *Config) (*socket, error) {
	domain, typ, proto := unix.AF_INET, unix.SOCK_DGRAM, 0
	if s.v6 {
		domain = unix.AF_INET6
	}
	if s.raw {
		typ, proto = unix.SOCK_RAW, unix.IPPROTO_ESP
	}
	var err error
	if s.fd, err = unix.Socket(domain, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto); err != nil {
		return nil, err
	}
	if err := s.setup(cfg); err != nil {
		unix.Close(s.fd)
		return nil, err
	}
	return s, nil
}

// mute reports whether the kernel sends no control messages: packets of IP protocol 50 over IPv4
// have an IP header with the same fields. To receive both costs a fifth more (BenchmarkReceive).
func (s *socket) mute() bool { return s.raw && !s.v6 }

// drainErrors empties the queue of ICMP errors; Net.TooBig has those that matter. While an error
// waits, poll returns at once.
func (s *socket) drainErrors(m *message) {
	for {
		m.prepareRecv(s.none[:])
		_, _, e := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&m.hdr)), unix.MSG_DONTWAIT|unix.MSG_ERRQUEUE)
		if e != 0 && e != unix.EINTR {
			return
		}
	}
}

// setup sets the options of the socket and binds it.
func (s *socket) setup(cfg *Config) error {
	if err := s.options(cfg); err != nil {
		return err
	}
	if s.deaf && s.raw {
		return s.deafen()
	}
	if s.deaf {
		if err := takeNothing(s.fd); err != nil {
			return err
		}
	}
	if err := unix.Bind(s.fd, sockaddr(s.bound)); err != nil {
		return err
	}
	if s.raw || s.bound.Port() != 0 {
		return nil
	}
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	s.bound = netip.AddrPortFrom(s.bound.Addr(), portOf(sa))
	return nil
}

// Addresses that nothing of IP protocol 50 arrives at: the limited broadcast (RFC 919), and a
// multicast address that is never assigned to a group (RFC 4291, Section 2.7.1).
var (
	deafIPv4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	deafIPv6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x0e})
)

// deafen keeps a raw socket from receiving. The kernel makes a copy of each packet for each raw
// socket whose address it fits, and looks at the filter only then. Bound to an address that is no
// host's, the socket costs nothing when packets arrive; and unlike any other address, one of a
// group or a broadcast does not become the source of what is sent.
func (s *socket) deafen() error {
	if err := takeNothing(s.fd); err != nil {
		return err
	}
	nowhere := deafIPv4
	if s.v6 {
		nowhere = deafIPv6
	}
	return unix.Bind(s.fd, sockaddr(netip.AddrPortFrom(nowhere, 0)))
}

// source returns the source address of out, if need be that of s, which the kernel does not know of
// a deaf socket. Unspecified: the system chooses it.
func (s *socket) source(out *Outgoing) netip.Addr {
	if local := out.Path.Local().Addr(); local.IsValid() && !local.IsUnspecified() {
		return local
	}
	return s.bound.Addr()
}

// openIKE opens a socket of the control plane: it may block and may fragment, and with reuse shares
// its port, as those of the NAT port do.
func openIKE(a netip.AddrPort, reuse bool, cfg *Config) (*net.UDPConn, error) {
	v6 := a.Addr().Is6()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			if err = commonOptions(int(fd), v6, cfg.Mark); err != nil {
				return
			}
			if err = fragmentOptions(int(fd), v6); err != nil {
				return
			}
			if err = urgentOptions(int(fd), v6, cfg.IKETOS); err == nil && reuse {
				err = reuseOptions(int(fd), !cfg.NoOffloads)
			}
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	c, err := lc.ListenPacket(context.Background(), family(a.Addr()), a.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zoneID(a.Addr())}
}

func portOf(sa unix.Sockaddr) uint16 {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port)
	case *unix.SockaddrInet6:
		return uint16(sa.Port)
	}
	return 0
}

// zoneID returns the interface index of a link-local address' zone, given as a number or a name, or
// 0.
func zoneID(a netip.Addr) uint32 {
	z := a.Zone()
	if z == "" {
		return 0
	}
	if n, err := strconv.ParseUint(z, 10, 32); err == nil {
		return uint32(n)
	}
	ifi, err := net.InterfaceByName(z)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}

// logAbsent logs that a family is left out.
func logAbsent(log *slog.Logger, what string, a netip.Addr, err error) {
	log.Info("this host lacks an address family, which is left out", "socket", what, "listen", a.String(), "error", err)
}

// closeAll closes sockets and their sidings.
func closeAll(socks []*socket) {
	for _, s := range socks {
		closeAll(s.side.socks)
		s.bypass.close()
		unix.Close(s.fd)
		s.fd = -1
	}
}
