//go:build linux

package e2e

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// traffic is datagrams both ways, in both families, between the sites' gateways and, if there is
// one, the client behind left.
type traffic struct {
	t          *testing.T
	streams    []*netlab.Stream
	fromClient []*netlab.Stream
}

func (n *network) traffic(t *testing.T) *traffic {
	t.Helper()
	tr := &traffic{t: t}
	tr.between(n.left, leftLAN4, n.right, rightLAN4)
	tr.between(n.left, leftLAN6, n.right, rightLAN6)
	if n.client != nil {
		first := len(tr.streams)
		tr.between(n.client, behind4, n.right, rightLAN4)
		tr.between(n.client, behind6, n.right, rightLAN6)
		tr.fromClient = []*netlab.Stream{tr.streams[first], tr.streams[first+2]}
	}
	return tr
}

// between adds datagrams both ways between two addresses.
func (tr *traffic) between(a *netlab.Host, addrA netip.Addr, b *netlab.Host, addrB netip.Addr) {
	tr.t.Helper()
	const rate, octets = 100, 100
	for range 2 {
		s, err := netlab.StartStream(a, addrA, b, addrB, rate, octets)
		ok(tr.t, err)
		tr.t.Cleanup(func() { s.Stop(0) })
		tr.streams = append(tr.streams, s)
		a, addrA, b, addrB = b, addrB, a, addrA
	}
}

// wantFlow waits until every stream arrives from now on.
func (tr *traffic) wantFlow(what string) {
	tr.t.Helper()
	const enough = 3
	ctx, cancel := context.WithTimeout(tr.t.Context(), 15*time.Second)
	defer cancel()
	for i, s := range tr.streams {
		from := s.Received.Load()
		if err := netlab.Until(ctx, "traffic", func() bool { return s.Received.Load() >= from+enough }); err != nil {
			tr.t.Fatalf("%s: stream %d: %v", what, i, err)
		}
	}
}

// stop stops sending.
func (tr *traffic) stop() {
	for _, s := range tr.streams {
		s.Stop(0)
	}
}

// wantPing waits for the answer to a ping.
func wantPing(t *testing.T, from *netlab.Host, src, dst netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := from.PingUntil(ctx, src, dst, 200*time.Millisecond)
	ok(t, err)
}

// ip runs an ip command that must succeed.
func ip(t *testing.T, h *netlab.Host, args ...string) string {
	t.Helper()
	out, err := h.Run(t.Context(), nil, "ip", args...)
	ok(t, err)
	return out
}

// listen calls f with the datagrams to a UDP port of the address, and returns the port.
func listen(t *testing.T, h *netlab.Host, a netip.Addr, f func(datagram []byte)) netip.AddrPort {
	t.Helper()
	var c net.PacketConn
	ok(t, h.Do(func() (err error) { c, err = net.ListenPacket("udp", netip.AddrPortFrom(a, 0).String()); return err }))
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			f(buf[:n])
		}
	}()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

// send sends a datagram.
func send(t *testing.T, h *netlab.Host, from, to netip.AddrPort, data string) {
	t.Helper()
	ok(t, h.Do(func() error {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte(data))
		return err
	}))
}
