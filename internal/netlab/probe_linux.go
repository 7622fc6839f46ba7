package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Probe is an echo request that may cause an ICMP error.
type Probe struct {
	Src, Dst netip.Addr
	Size     int // octets of data
	TTL      int // or hop limit; 0: the host's
}

// An Answer is the result of a probe: the echo reply, or an ICMP error that quotes the request.
type Answer struct {
	From       netip.Addr
	Type, Code uint8
	MTU        int // of "fragmentation needed" and "packet too big"
}

// Probe sends a probe with DF, whatever the host knows of the path, and waits for its answer, at
// most until the context ends.
func (h *Host) Probe(ctx context.Context, p Probe) (Answer, error) {
	var a Answer
	err := h.Do(func() (err error) {
		a, err = p.run(ctx)
		return err
	})
	return a, err
}

func (p Probe) run(ctx context.Context) (Answer, error) {
	network := "ip4:icmp"
	if p.Dst.Is6() {
		network = "ip6:ipv6-icmp"
	}
	control := func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = p.options(int(fd)) }), err)
	}
	c, err := (&net.ListenConfig{Control: control}).ListenPacket(ctx, network, p.Src.String())
	if err != nil {
		return Answer{}, err
	}
	defer c.Close()
	if d, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(d)
	}
	if _, err := c.WriteTo(p.request(), &net.IPAddr{IP: p.Dst.AsSlice()}); err != nil {
		return Answer{}, err
	}
	buf := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return Answer{}, err
		}
		if a, ok := p.answer(buf[:n]); ok {
			a.From, _ = netip.ParseAddr(from.String())
			return a, nil
		}
	}
}

// options sets DF and the TTL.
func (p Probe) options(fd int) error {
	if p.Dst.Is6() {
		err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1))
		if p.TTL != 0 {
			err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, p.TTL))
		}
		return err
	}
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	if p.TTL != 0 {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, p.TTL))
	}
	return err
}

// probeIdent is the identifier of probes; the kernel writes the checksum over IPv6.
const probeIdent = 0x6c70

func (p Probe) request() []byte {
	const request6 = 128
	b := make([]byte, echoHeader+p.Size)
	binary.BigEndian.PutUint16(b[4:], probeIdent)
	if p.Dst.Is6() {
		b[0] = request6
		return b
	}
	b[0] = echoRequest
	binary.BigEndian.PutUint16(b[2:], ^checksum(0, b))
	return b
}

// answer parses an ICMP message; ok is false if it is not about the probe.
func (p Probe) answer(b []byte) (a Answer, ok bool) {
	const reply4, reply6, tooBig4, tooBig6, unreachable4 = 0, 129, 4, 2, 3
	if len(b) < echoHeader {
		return a, false
	}
	a.Type, a.Code = b[0], b[1]
	reply, quoted := uint8(reply4), quotedInICMP(b[0], b[8:])
	if p.Dst.Is6() {
		reply, quoted = reply6, quotedInICMPv6(b[0], b[8:])
	}
	switch {
	case p.Dst.Is4() && a.Type == unreachable4 && a.Code == tooBig4:
		a.MTU = int(binary.BigEndian.Uint16(b[6:]))
	case p.Dst.Is6() && a.Type == tooBig6:
		a.MTU = int(binary.BigEndian.Uint32(b[4:]))
	}
	if quoted != nil {
		return a, quoted.Dst == p.Dst && quoted.Src == p.Src
	}
	return a, a.Type == reply && binary.BigEndian.Uint16(b[4:]) == probeIdent
}
