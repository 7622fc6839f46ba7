package netio

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// socketBuffer is the requested size in both directions: some milliseconds of a fast link.
const socketBuffer = 4 << 20

// tellErrors has the kernel report a full device queue, which it otherwise keeps to itself. It then
// also reports ICMP errors about earlier datagrams.
func tellErrors(fd int, v6 bool) error {
	if v6 {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1)
}

// options sets what the socket needs before it is bound.
func (s *socket) options(cfg *Config) error {
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
	if err := tellErrors(s.fd, s.v6); err != nil || s.raw {
		return err
	}
	if s.v6 {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	switch {
	case !s.deaf:
		return reuseOptions(s.fd, !cfg.NoOffloads)
	case s.bound.Port() != 0: // a siding
		return sharePort(s.fd, true)
	}
	return nil // the system chooses a port that nobody has
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
	if err := sharePort(fd, true); err != nil {
		return err
	}
	if gro {
		_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) // before Linux 5.0 there is none, and datagrams come one by one
	}
	return nil
}

// sharePort lets other sockets of this user be bound to the same port, if they ask for it as well,
// or no more of them.
func sharePort(fd int, share bool) error {
	on := 0
	if share {
		on = 1
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, on); err != nil {
		return fmt.Errorf("sharing the port: %w", err)
	}
	return nil
}
