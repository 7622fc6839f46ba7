package netio

import (
	"context"
	"culvert/internal/ipheader"
	"culvert/internal/ipsec"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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
	tooBig  chan TooBig
	tooBigs atomic.Uint64 // received errors whose quote may be ours
	conns4  []*net.IPConn // of IPv4
	conns6  []*net.IPConn // of IPv6; each has at most one
	done    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
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
	return &icmpSide{tooBig: make(chan TooBig, icmpBacklog), done: make(chan struct{})}
}

// TooBig returns the channel of received errors.
func (k *icmpSide) TooBig() <-chan TooBig { return k.tooBig }

// start opens the sockets that the system allows, and begins to read. Without them only probes find
// path MTUs.
func (k *icmpSide) start(natPort uint16, log *slog.Logger) {
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
		k.wg.Go(func() { k.readErrors(c, f.v6, natPort) })
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
func (k *icmpSide) readErrors(c *net.IPConn, v6 bool, natPort uint16) {
	buf := make([]byte, icmpMost)
	for left, since := icmpBurst, time.Now(); ; left-- {
		n, _, err := c.ReadFromIP(buf)
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
		e, ok := parseTooBig(buf[:n], v6, natPort)
		if !ok {
			continue
		}
		k.tooBigs.Add(1)
		select {
		case k.tooBig <- e:
		default:
		}
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

// Types and codes (RFC 792, RFC 1191, RFC 4443), and the protocols that carry ESP.
const (
	icmpUnreachable = 3
	icmpFragNeeded  = 4
	icmp6TooBig     = 2
	icmpQuoteAt     = 8 // where the quoted packet begins
	protoUDP        = 17
	protoESP        = 50

	ipv4Header = 20
	ipv6Header = 40
	udpHeader  = 8
)

// parseTooBig parses an ICMP message; ok is false if it is not a "too big" error about a packet of
// ours.
func parseTooBig(b []byte, v6 bool, natPort uint16) (e TooBig, ok bool) {
	var proto uint8
	var upper []byte
	if v6 {
		if len(b) < icmpQuoteAt+ipv6Header || b[0] != icmp6TooBig {
			return e, false
		}
		e.MTU = int(binary.BigEndian.Uint32(b[4:]))
		q := b[icmpQuoteAt:]
		proto, upper = q[6], q[ipv6Header:]
		e.Path = ipsec.RawPath(netip.AddrFrom16([16]byte(q[8:24])), netip.AddrFrom16([16]byte(q[24:40])))
		return e, e.readUpper(proto, upper, natPort)
	}
	if len(b) < icmpQuoteAt+ipv4Header || b[0] != icmpUnreachable || b[1] != icmpFragNeeded || ipheader.Sum(0, b) != 0xffff {
		return e, false
	}
	e.MTU = int(binary.BigEndian.Uint16(b[6:]))
	q := b[icmpQuoteAt:]
	header := int(q[0]&0x0f) * 4
	later := binary.BigEndian.Uint16(q[6:])&0x1fff != 0 // a fragment other than the first
	if q[0]>>4 != 4 || header < ipv4Header || header > len(q) || later {
		return e, false
	}
	proto, upper = q[9], q[header:]
	e.Path = ipsec.RawPath(netip.AddrFrom4([4]byte(q[12:16])), netip.AddrFrom4([4]byte(q[16:20])))
	return e, e.readUpper(proto, upper, natPort)
}

// readUpper reads the SPI after the IP header, or in UDP after the UDP header, whose ports become
// those of the path.
func (e *TooBig) readUpper(proto uint8, b []byte, natPort uint16) bool {
	switch proto {
	case protoESP:
	case protoUDP:
		if len(b) < udpHeader || binary.BigEndian.Uint16(b) != natPort {
			return false
		}
		e.Path = ipsec.NATPath(at(e.Path.Local().Addr(), natPort), at(e.Path.Remote().Addr(), binary.BigEndian.Uint16(b[2:])))
		b = b[udpHeader:]
	default:
		return false
	}
	if len(b) >= spiLen {
		e.SPI = binary.BigEndian.Uint32(b)
	}
	return true
}
