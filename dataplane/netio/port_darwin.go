package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

// socket is a UDP socket on the NAT port, owned by the control plane's connection.
type socket struct {
	fd    int
	v6    bool
	bound netip.AddrPort
	ready bool  // there may be something to read
	tos   uint8 // set on the socket now
	frag  bool  // likewise: IP may fragment
}

// port implements Port on macOS, with one datagram in each call.
type port struct {
	socks []*socket
	frag  []*socket // none here
	at    int
	oob   []byte
	count counters

	firewall *firewall // the Net's
}

func newPort(f *firewall, _ *Config) *port { return &port{oob: make([]byte, maxControl), firewall: f} }

// Recv implements Port.
func (p *port) Recv(buf []byte, in *Received) error {
	for range p.socks {
		if s := p.socks[p.at]; s.ready {
			err := p.recvFrom(s, buf, in)
			if !errors.Is(err, ErrWouldBlock) {
				return err
			}
			s.ready = false
		}
		p.at = (p.at + 1) % len(p.socks)
	}
	return ErrWouldBlock
}

// Ready implements Port.
func (p *port) Ready(i int) { p.socks[i].ready = true }

func (p *port) recvFrom(s *socket, buf []byte, in *Received) error {
	for {
		n, oobn, flags, from, err := unix.Recvmsg(s.fd, buf, p.oob, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return ErrWouldBlock
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EBADF):
			return fmt.Errorf("netio: receiving: %w", net.ErrClosed)
		case err != nil:
			return fmt.Errorf("netio: receiving: %w", err)
		case flags&unix.MSG_TRUNC != 0:
			p.count.truncated.Add(1)
			continue
		}
		local := at(localAddr(p.oob[:oobn], s.bound.Addr()), s.bound.Port())
		r := run{data: buf[:n], from: Received{Path: ipsec.NATPath(local, remoteAddr(from)), TOS: receivedTOS(p.oob[:oobn])}}
		r.next(in)
		if in.Kind == Keepalive {
			p.count.keepalives.Add(1)
		}
		return nil
	}
}

func remoteAddr(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			a = a.WithZone(fmt.Sprint(sa.ZoneId))
		}
		return netip.AddrPortFrom(a, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// receivedTOS reads the TOS or traffic class from the control messages: one octet for IPv4, an int
// for IPv6, little-endian here.
func receivedTOS(oob []byte) uint8 {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVTOS
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_TCLASS
		if (v4 || v6) && len(m.Data) > 0 {
			return m.Data[0]
		}
	}
	return 0
}

// Send implements Port. The first error ends a run.
func (p *port) Send(outs []Outgoing) {
	for i := range outs {
		p.sendRun(&outs[i])
	}
}

func (p *port) sendRun(out *Outgoing) {
	size := out.SegSize
	if size <= 0 {
		size = len(out.Data)
	}
	out.Lost, out.Err = out.Datagrams(), p.check(out)
	for rest := out.Data; out.Err == nil && len(rest) > 0; {
		d := rest[:min(size, len(rest))]
		rest = rest[len(d):]
		if out.Err = p.sendOne(out, d); out.Err == nil {
			out.Lost--
		}
	}
	if out.Err != nil {
		if out.Err == errRefused {
			p.firewall.note(out.Lost, out.Path.Remote(), time.Now())
		}
		p.count.lost(out.Lost, out.Err)
	}
}

// check returns an error if no socket can send out.
func (p *port) check(out *Outgoing) error {
	switch {
	case len(out.Data) == 0:
		return errEmpty
	case out.Path.Via() == ipsec.Raw:
		return errNoRaw
	case out.Path.Via() != ipsec.NAT, p.socketFor(out) == nil:
		return errNoSocket
	}
	return nil
}

func (p *port) sendOne(out *Outgoing, data []byte) error {
	s := p.socketFor(out)
	s.setTOS(out.TOS)
	s.setFragment(out.Fragment)
	_, err := unix.SendmsgN(s.fd, data, sourceControl(out.Path.Local().Addr(), out.Path.Remote().Addr()), sockaddr(out.Path.Remote()), unix.MSG_DONTWAIT)
	if err == nil {
		return nil
	}
	var e unix.Errno
	if errors.As(err, &e) {
		return sendError(e)
	}
	return err
}

// setTOS sets the TOS of the next sends: macOS takes it from the socket, not from the message.
func (s *socket) setTOS(tos uint8) {
	if s.tos == tos {
		return
	}
	s.tos = tos
	if s.v6 {
		_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(tos))
		return
	}
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_TOS, int(tos))
}

// setFragment sets whether IP may fragment the next sends.
func (s *socket) setFragment(on bool) {
	if s.frag == on {
		return
	}
	s.frag = on
	df := 1
	if on {
		df = 0
	}
	if s.v6 {
		_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, df)
		return
	}
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_DONTFRAG, df)
}

func (p *port) socketFor(out *Outgoing) *socket {
	var found *socket
	for _, s := range p.socks {
		if s.v6 != out.Path.Is6() {
			continue
		}
		if s.bound.Addr() == out.Path.Local().Addr() {
			return s
		}
		if found == nil || s.bound.Addr().IsUnspecified() {
			found = s
		}
	}
	return found
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if z := a.Addr().Zone(); z != "" {
		if ifi, err := net.InterfaceByName(z); err == nil {
			sa.ZoneId = uint32(ifi.Index)
		} else {
			_, _ = fmt.Sscan(z, &sa.ZoneId)
		}
	}
	return sa
}

// FDs implements Port.
func (p *port) FDs() []int {
	fds := make([]int, len(p.socks))
	for i, s := range p.socks {
		fds[i] = s.fd
	}
	return fds
}

// closeAll does nothing: the control plane's connections own the sockets.
func closeAll([]*socket) {}
