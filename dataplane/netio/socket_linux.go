package netio

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socketBuffer is the requested size in both directions: some milliseconds of a fast link.
const socketBuffer = 4 << 20

// socket is a worker's non-blocking socket.
type socket struct {
	fd     int
	v6     bool
	raw    bool           // IP protocol 50 rather than UDP
	frag   bool           // only sends, with fragmentation of large packets
	deaf   bool           // a raw one that only sends
	bound  netip.AddrPort // the address may be unspecified
	drops  uint32         // the kernel's last count of drops
	ready  atomic.Bool    // there may be packets to read: set by the worker, cleared by any port that finds none
	side   sidings        // the paths of remotes that fill the send buffer
	bypass *bypass        // the packet socket beside a raw one; nil: none
	none   [1]byte        // unused space for the data of ICMP errors
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

// tellErrors has the kernel report a full device queue, which it otherwise keeps to itself. It then
// also reports ICMP errors about earlier datagrams.
func tellErrors(fd int, v6 bool) error {
	if v6 {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1)
}

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

func (s *socket) setup(cfg *Config) error {
	if err := commonOptions(s.fd, s.v6, cfg.Mark); err != nil {
		return err
	}
	path := pathOptions
	if s.frag {
		path = fragmentOptions
	}
	if err := path(s.fd, s.v6); err != nil {
		return err
	}
	if s.mute() {
		for _, opt := range []int{unix.IP_PKTINFO, unix.IP_RECVTOS} {
			if err := unix.SetsockoptInt(s.fd, unix.SOL_IP, opt, 0); err != nil {
				return err
			}
		}
	}
	if err := tellErrors(s.fd, s.v6); err != nil {
		return err
	}
	if !s.raw {
		if s.v6 {
			if err := unix.SetsockoptInt(s.fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
				return err
			}
		}
		if err := reuseOptions(s.fd, !cfg.NoOffloads); err != nil {
			return err
		}
	}
	if s.deaf {
		return s.deafen()
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

// commonOptions are those of every socket: local address and TOS of received packets, mark,
// buffers.
func commonOptions(fd int, v6 bool, mark uint32) error {
	ints := []struct{ level, opt, value int }{
		{unix.SOL_IP, unix.IP_PKTINFO, 1},
		{unix.SOL_IP, unix.IP_RECVTOS, 1},
	}
	if v6 {
		ints = []struct{ level, opt, value int }{
			{unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1},
			{unix.SOL_IPV6, unix.IPV6_RECVTCLASS, 1},
		}
	}
	ints = append(ints, struct{ level, opt, value int }{unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1})
	for _, o := range ints {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("setting socket option %d/%d: %w", o.level, o.opt, err)
		}
	}
	if mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
			return fmt.Errorf("setting the firewall mark: %w", err)
		}
	}
	// Sizes beyond net.core.rmem_max need CAP_NET_ADMIN. The size that the system allows is enough
	// to work.
	for force, plain := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, socketBuffer)
		}
	}
	return nil
}

// pathOptions make every packet carry DF: in tunnel mode the inner packets are made to fit, and
// outer ones are not fragmented (RFC 4301, Section 8.2). Only packets beyond the device's MTU are
// an error. The kernel's path MTU is ignored: it believes every ICMP error, and would block probes.
func pathOptions(fd int, v6 bool) error {
	if !v6 {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_DONTFRAG, 1)
}

// fragmentOptions let large packets be fragmented, for IKE, whose messages have no other way
// without IKE fragmentation. Over IPv4 the routers on the path decide, whatever ICMP reports; over
// IPv6 only the sender can, at the kernel's path MTU, which is never below 1280.
func fragmentOptions(fd int, v6 bool) error {
	if v6 {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
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

// priorityInteractive is TC_PRIO_INTERACTIVE, the highest that needs no privilege: queueing
// disciplines with bands (pfifo_fast, prio) send it first.
const priorityInteractive = 6

// urgentOptions let IKE overtake ESP: in this host's queue and, by the given TOS or traffic class,
// wherever the network respects it. They also keep a receiver's GRO from coalescing an IKE message
// with the ESP before it: IKE has no DF over IPv4, and no flow label over IPv6. GRO keeps packets
// apart that differ in either, or in TOS.
func urgentOptions(fd int, v6 bool, tos uint8) error {
	level, opt := unix.SOL_IP, unix.IP_TOS
	if v6 {
		level, opt = unix.SOL_IPV6, unix.IPV6_TCLASS
		if err := unix.SetsockoptInt(fd, level, unix.IPV6_AUTOFLOWLABEL, 0); err != nil {
			return fmt.Errorf("setting no flow label: %w", err)
		}
	}
	if err := unix.SetsockoptInt(fd, level, opt, int(tos)); err != nil {
		return fmt.Errorf("setting the DSCP of IKE: %w", err)
	}
	// After the TOS, which sets a priority of its own.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priorityInteractive); err != nil {
		return fmt.Errorf("setting the priority of IKE: %w", err)
	}
	return nil
}

// reuseOptions make a UDP socket one of several on its port. All of them must accept coalesced
// datagrams: before it steers, the kernel asks one that it picks by the flow whether to coalesce.
// Without gro none does.
func reuseOptions(fd int, gro bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fmt.Errorf("sharing the port: %w", err)
	}
	if gro {
		_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) // before Linux 5.0 there is none, and datagrams come one by one
	}
	return nil
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
