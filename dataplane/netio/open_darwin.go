package netio

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// maxWorkers is one: macOS does not spread packets over sockets that share a port.
const maxWorkers = 1

// listen opens the UDP sockets of one listen address. The worker and the control plane share that
// of the NAT port.
func (n *Net) listen(a netip.Addr, cfg *Config) error {
	ike, err := openUDP(at(a, n.ikePort), false)
	if err != nil {
		if absent(a, err) {
			logAbsent(n.log, "UDP", a, err)
			return nil
		}
		return bindError("the IKE port", at(a, n.ikePort), "ike_port", err)
	}
	n.ikePort = ike.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	n.conns = append(n.conns, &ikeConn{UDPConn: ike, bound: at(a, n.ikePort)})
	nat, err := openUDP(at(a, n.natPort), true)
	if err != nil {
		return bindError("the NAT port", at(a, n.natPort), "nat_port", err)
	}
	n.natPort = nat.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	n.nat = append(n.nat, &ikeConn{UDPConn: nat, bound: at(a, n.natPort), nat: true, shared: true})
	s := &socket{v6: a.Is6(), bound: at(a, n.natPort)}
	raw, err := nat.SyscallConn()
	if err != nil {
		return err
	}
	if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
		return err
	}
	n.ports[0].socks = append(n.ports[0].socks, s)
	return nil
}

// openRaw opens nothing: macOS keeps IP protocol 50 for its own IPsec.
func (n *Net) openRaw(*Config) error {
	n.log.Info("IP protocol 50 is not available on macOS: ESP is sent only in UDP")
	return nil
}

// openUDP opens a socket; dontFragment is for ESP, where large packets are an error, and not for
// IKE.
func openUDP(a netip.AddrPort, dontFragment bool) (*net.UDPConn, error) {
	v6 := a.Addr().Is6()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = options(int(fd), v6, dontFragment) }); cerr != nil {
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

// socketBuffer is the requested size; kern.ipc.maxsockbuf may allow less.
const socketBuffer = 2 << 20

func options(fd int, v6, dontFragment bool) error {
	type option struct{ level, opt, value int }
	df := 0
	if dontFragment {
		df = 1
	}
	opts := []option{{unix.IPPROTO_IP, unix.IP_RECVPKTINFO, 1}, {unix.IPPROTO_IP, unix.IP_RECVTOS, 1}, {unix.IPPROTO_IP, unix.IP_DONTFRAG, df}}
	if v6 {
		opts = []option{{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1}, {unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
			{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1}, {unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, df}}
	}
	for _, o := range opts {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("setting socket option %d/%d: %w", o.level, o.opt, err)
		}
	}
	for _, b := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, b, socketBuffer)
	}
	return nil
}

// LinkMTU returns the MTU of the interface that leads to remote, or 0 without a route.
func (n *Net) LinkMTU(local, remote netip.Addr) int {
	if !local.IsValid() || local.IsUnspecified() {
		var err error
		if local, err = n.LocalAddr(remote); err != nil {
			return 0
		}
	}
	ifis, err := net.Interfaces()
	if err != nil {
		return 0
	}
	for _, i := range ifis {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, ok := a.(*net.IPNet); ok && p.IP.Equal(local.Unmap().AsSlice()) {
				return i.MTU
			}
		}
	}
	return 0
}

// LocalAddr returns the system's choice of a source address for packets to remote.
func (n *Net) LocalAddr(remote netip.Addr) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at(remote.Unmap(), n.natPort)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("netio: no route to %s: %w", remote, err)
	}
	defer c.Close()
	return n.answered(c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()), nil
}

// Dialer returns an ordinary dialer: macOS has no firewall marks.
func Dialer(uint32) *net.Dialer { return new(net.Dialer) }

// read reads the control messages of a datagram. Fields of r without one stay as they are.
func (r *received) read(oob []byte) { r.local = localAddr(oob, r.local) }

// localAddr returns the destination address of a datagram from its control messages, or bound
// without one.
func localAddr(oob []byte, bound netip.Addr) netip.Addr {
	if bound.Is4() {
		var m ipv4.ControlMessage
		if m.Parse(oob) == nil {
			if a, ok := netip.AddrFromSlice(m.Dst); ok {
				return a.Unmap()
			}
		}
		return bound
	}
	var m ipv6.ControlMessage
	if m.Parse(oob) == nil {
		if a, ok := netip.AddrFromSlice(m.Dst); ok {
			return a
		}
	}
	return bound
}

// sourceControl returns the control message for the source address, or none.
func sourceControl(src, remote netip.Addr) []byte {
	switch {
	case !src.IsValid() || src.IsUnspecified() || src.Is4() != remote.Is4():
		return nil
	case src.Is4():
		return (&ipv4.ControlMessage{Src: src.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: src.AsSlice()}).Marshal()
}

// logAbsent logs that a family is left out.
func logAbsent(log *slog.Logger, what string, a netip.Addr, err error) {
	log.Info("this host lacks an address family, which is left out", "socket", what, "listen", a.String(), "error", err)
}

// links is the open state of LinkMTU: none here.
type links struct{}

func (l *links) open(uint32) error { return nil }
func (l *links) close()            {}

// A hopCache is a way past the IP stack for protocol 50: none here.
type hopCache struct{}

func (h *hopCache) close()        {}
func (n *Net) openDirect(*Config) {}

// filterICMP does nothing: parseTooBig sorts all errors.
func filterICMP(syscall.RawConn, bool) error { return nil }

// Workers have no source ports of their own: there is one worker.
func (n *Net) openSources(*Config)   {}
func (n *Net) sourcePorts() []uint16 { return nil }

// closeAll closes the sockets of the port.
func (p *port) closeAll() { closeAll(p.socks) }
