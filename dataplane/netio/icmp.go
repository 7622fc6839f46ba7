package netio

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"culvert/internal/ipsec"
)

// TooBig is an ICMP error about a packet larger than a link on its path, with the quote of the
// packet, which looks like ESP of ours. Anybody can send one: it proves nothing until the SPI is
// found to be that of an SA on this path.
type TooBig struct {
	Path ipsec.Path // of the quoted packet
	SPI  uint32     // 0: the quote ends before the SPI
	MTU  int        // the router's; 0: it has none (RFC 1191, Section 5)
}

// icmpSide receives ICMP errors by one raw socket for each family. The error queues of the UDP
// sockets would not do: among sockets that share a port, the kernel chooses the receiver of an
// error by a hash.
type icmpSide struct {
	tooBig       chan TooBig
	tooBigs      atomic.Uint64 // received errors whose quote may be ours
	unreachable  chan ipsec.Unreachable
	unreachables atomic.Uint64 // likewise
	conns4       []*net.IPConn // of IPv4
	conns6       []*net.IPConn // of IPv6; each has at most one
	done         chan struct{}
	once         sync.Once
	wg           sync.WaitGroup
}

const (
	// icmpBacklog bounds the unread errors. More are dropped: a sender that goes on causes others.
	icmpBacklog = 64
	// icmpBurst is the most errors read in icmpPause; the kernel drops the excess. So a flood of
	// forged ones costs next to nothing.
	icmpBurst = 100
	icmpPause = 100 * time.Millisecond
	// icmpBuffer is the receive buffer of a socket, in octets.
	icmpBuffer = 128 << 10
	// icmpMost is more than the length of any quote (RFC 1812, Section 4.3.2.3; RFC 4443, Section
	// 2.4 (c)).
	icmpMost = 2048
)

func newICMPSide() *icmpSide {
	return &icmpSide{tooBig: make(chan TooBig, icmpBacklog), unreachable: make(chan ipsec.Unreachable, icmpBacklog), done: make(chan struct{})}
}

// TooBig returns the channel of received errors.
func (k *icmpSide) TooBig() <-chan TooBig { return k.tooBig }

// Unreachable returns the channel of received errors which say that a packet, possibly of ours,
// does not reach its destination. Anybody can send one.
func (k *icmpSide) Unreachable() <-chan ipsec.Unreachable { return k.unreachable }

// start opens the sockets that the system allows, and begins to read. Without them only probes find
// path MTUs.
func (k *icmpSide) start(own ports, sources []uint16, log *slog.Logger) {
	for _, f := range []struct {
		network string
		v6      bool
	}{{"ip4:1", false}, {"ip6:58", true}} {
		c, err := openICMP(f.network, f.v6)
		if err != nil {
			log.Info("ICMP errors cannot be received: only probes find the path MTU", "socket", f.network, "error", err)
			continue
		}
		if f.v6 {
			k.conns6 = append(k.conns6, c)
		} else {
			k.conns4 = append(k.conns4, c)
		}
		k.wg.Go(func() { k.readErrors(c, f.v6, own, sources) })
	}
}

func openICMP(network string, v6 bool) (*net.IPConn, error) {
	var lc net.ListenConfig
	lc.Control = func(_, _ string, raw syscall.RawConn) error { return filterICMP(raw, v6) }
	c, err := lc.ListenPacket(context.Background(), network, "")
	if err != nil {
		return nil, err
	}
	ip := c.(*net.IPConn)
	_ = ip.SetReadBuffer(icmpBuffer)
	return ip, nil
}

// readErrors passes the errors of c on until it is closed.
func (k *icmpSide) readErrors(c *net.IPConn, v6 bool, own ports, sources []uint16) {
	buf, natPorts := make([]byte, icmpMost), append([]uint16{own.nat}, sources...)
	for left, since := icmpBurst, time.Now(); ; left-- {
		n, from, err := c.ReadFromIP(buf)
		if err != nil || left == 0 {
			if k.rest(icmpPause - time.Since(since)) {
				return
			}
			left, since = icmpBurst, time.Now()
		}
		if time.Since(since) >= icmpPause {
			left, since = icmpBurst, time.Now()
		}
		if err != nil {
			continue
		}
		k.sort(buf[:n], from, v6, own, natPorts)
	}
}

// sort passes an error on, unless too many wait already. That a packet did not reach the peer is
// heeded only if it was from the NAT port: others may be kept out where that one is let in.
func (k *icmpSide) sort(b []byte, from *net.IPAddr, v6 bool, own ports, natPorts []uint16) {
	if e, ok := parseTooBig(b, v6, natPorts...); ok {
		k.tooBigs.Add(1)
		select {
		case k.tooBig <- e:
		default:
		}
		return
	}
	u, ok := parseUnreachable(b, v6, own)
	if !ok {
		return
	}
	k.unreachables.Add(1)
	by, _ := netip.AddrFromSlice(from.IP)
	u.By = by.Unmap()
	select {
	case k.unreachable <- u:
	default:
	}
}

// rest waits, and reports whether the side was closed meanwhile.
func (k *icmpSide) rest(d time.Duration) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-k.done:
		return true
	}
}

func (k *icmpSide) close() {
	k.once.Do(func() {
		close(k.done)
		for _, c := range append(k.conns4, k.conns6...) {
			c.Close()
		}
		k.wg.Wait()
	})
}
