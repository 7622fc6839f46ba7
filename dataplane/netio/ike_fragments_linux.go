package netio

import (
	"context"
	"net"
	"strconv"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// openRaws opens the available sockets for given headers, for the families of IKE.
func (k *ikeSide) openRaws(cfg *Config) {
	for _, c := range k.conns {
		v6 := c.bound.Addr().Is6()
		network, place := "ip4", &k.raws.v4
		if v6 {
			network, place = "ip6", &k.raws.v6
		}
		if *place != nil {
			continue
		}
		raw, err := openRawIP(network, v6, cfg)
		if err != nil {
			cfg.Log.Info("IKE messages cannot be sent in IP fragments of a chosen size: no raw socket", "socket", network, "error", err)
			continue
		}
		*place = raw
	}
}

// openRawIP opens a socket of IPPROTO_RAW, whose packets include their IP headers.
func openRawIP(network string, v6 bool, cfg *Config) (*rawConn, error) {
	r := &rawConn{tos: cfg.IKETOS}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = r.setup(int(fd), v6, cfg) }); cerr != nil {
			return cerr
		}
		return err
	}}
	c, err := lc.ListenPacket(context.Background(), network+":"+strconv.Itoa(unix.IPPROTO_RAW), "")
	if err != nil {
		return nil, err
	}
	r.IPConn = c.(*net.IPConn)
	return r, nil
}

// setup sets the options of the IKE sockets. The kernel's knowledge of the path does not matter: a
// fragment has the chosen size, or is an error. IP_NODEFRAG is not set: where this host translates
// addresses, connection tracking must see the datagram whole.
func (r *rawConn) setup(fd int, v6 bool, cfg *Config) error {
	if err := commonOptions(fd, v6, cfg.Mark); err != nil {
		return err
	}
	if err := pathOptions(fd, v6); err != nil {
		return err
	}
	if err := urgentOptions(fd, v6, cfg.IKETOS); err != nil {
		return err
	}
	level, opt := unix.SOL_IP, unix.IP_TTL
	if v6 {
		level, opt = unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS
	}
	hops, err := unix.GetsockoptInt(fd, level, opt)
	if err != nil {
		return err
	}
	r.hops = uint8(hops)
	// Packets of protocol 255, which anybody can send, would otherwise fill its receive buffer.
	return attach(fd, unix.SO_ATTACH_FILTER, []bpf.Instruction{bpf.RetConstant{Val: 0}})
}
