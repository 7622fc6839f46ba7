package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Ping sends one echo request of size octets of data from src to dst and waits for its reply, at
// most until the context ends.
func (h *Host) Ping(ctx context.Context, src, dst netip.Addr, size int) (time.Duration, error) {
	var rtt time.Duration
	err := h.Do(func() (err error) {
		rtt, err = ping(ctx, src, dst, size)
		return err
	})
	return rtt, err
}

// PingUntil pings at intervals until a reply comes or the context ends, and returns the time that
// it took.
func (h *Host) PingUntil(ctx context.Context, src, dst netip.Addr, interval time.Duration) (time.Duration, error) {
	start := time.Now()
	for {
		one, cancel := context.WithTimeout(ctx, interval)
		_, err := h.Ping(one, src, dst, 56)
		cancel()
		if err == nil {
			return time.Since(start), nil
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("%s: no reply from %s to %s: %w", h.Name, dst, src, err)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			time.Sleep(interval) // the network may refuse at once, for example without a route
		}
	}
}

func ping(ctx context.Context, src, dst netip.Addr, size int) (time.Duration, error) {
	network, request, reply := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	if dst.Is6() {
		network, request, reply = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := net.ListenPacket(network, src.String())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if d, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(d)
	}
	start := time.Now()
	id := int(binary.NativeEndian.Uint16(binary.NativeEndian.AppendUint64(nil, uint64(start.UnixNano()/1000))))
	msg, err := (&icmp.Message{Type: request, Body: &icmp.Echo{ID: id, Seq: 1, Data: make([]byte, size)}}).Marshal(nil)
	if err != nil {
		return 0, err
	}
	if _, err := c.WriteTo(msg, &net.IPAddr{IP: dst.AsSlice()}); err != nil {
		return 0, err
	}
	buf := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		m, err := icmp.ParseMessage(reply.Protocol(), buf[:n])
		if err != nil || m.Type != reply || from.String() != dst.String() {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id && len(e.Data) == size {
			return time.Since(start), nil
		}
	}
}
