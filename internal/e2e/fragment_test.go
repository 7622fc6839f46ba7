//go:build linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
)

// Addresses of a host behind left's gateway.
var client4, client6 = addr("10.1.9.2"), addr("fd01:0:0:9::2")

// limitedToPort builds a tunnel whose UDP is limited to port 5001 of right's LAN, and a host behind
// left:
//
//	[client] lan 10.1.9.2 fd01:0:0:9::2 -- inner [left] wan ---- wan [right] lan 10.2.0.1 fd02::1
func limitedToPort(t *testing.T) (n *network, client *netlab.Host, left, right *gateway) {
	t.Helper()
	n = build(t, topology{})
	client, err := n.lab.Host("client")
	ok(t, err)
	ok(t, n.lab.Link(netlab.Iface{Host: client, Name: "lan", Addrs: []string{client4.String() + "/24", client6.String() + "/64"}},
		netlab.Iface{Host: n.left, Name: "inner", Addrs: []string{"10.1.9.1/24", "fd01:0:0:9::1/64"}}, 1500),
		client.Route("default", "10.1.9.1", 0), client.Route("default", "fd01:0:0:9::1", 0))
	const ours4, ours6, theirs4, theirs6 = "10.1.0.0/16 udp", "fd01::/48 udp", "10.2.0.0/24 udp/5001", "fd02::/64 udp/5001"
	left, right = newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), childText("v4", theirs4, ours4, ""), childText("v6", theirs6, ours6, "")))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), childText("v4", ours4, theirs4, boot), childText("v6", ours6, theirs6, boot)))
	left.waitUp("right")
	right.waitUp("left")
	return n, client, left, right
}

// udp opens a UDP socket in a host whose packets may be fragmented anywhere.
func udp(t *testing.T, h *netlab.Host, from, to netip.AddrPort) (c *net.UDPConn) {
	t.Helper()
	let := func(_, _ string, raw syscall.RawConn) error {
		err := raw.Control(func(fd uintptr) {
			if from.Addr().Is4() {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
			}
		})
		return err
	}
	ok(t, h.Do(func() error {
		var pc any
		var err error
		if to.IsValid() {
			pc, err = (&net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(from), Control: let}).Dial("udp", to.String())
		} else {
			pc, err = (&net.ListenConfig{Control: let}).ListenPacket(context.Background(), "udp", from.String())
		}
		if err == nil {
			c = pc.(*net.UDPConn)
		}
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}

// echo sends a datagram, which the server must receive and return within the time.
func echo(client, server *net.UDPConn, payload []byte, limit time.Duration) error {
	if _, err := client.Write(payload); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	deadline := time.Now().Add(limit)
	for {
		_ = server.SetReadDeadline(deadline)
		k, from, err := server.ReadFromUDPAddrPort(buf)
		if err != nil {
			return fmt.Errorf("there: %w", err)
		}
		if !bytes.Equal(buf[:k], payload) {
			continue // the answer to an earlier try
		}
		if _, err := server.WriteToUDPAddrPort(buf[:k], from); err != nil {
			return err
		}
		break
	}
	for {
		_ = client.SetReadDeadline(deadline)
		k, err := client.Read(buf)
		if err != nil {
			return fmt.Errorf("back: %w", err)
		}
		if bytes.Equal(buf[:k], payload) {
			return nil
		}
	}
}

// TestFragmentsOfALimitedChild: the kernel fragments datagrams for the TUN's MTU before their ports
// are visible; through a child limited to a port they arrive nevertheless, at any size, both ways.
func TestFragmentsOfALimitedChild(t *testing.T) {
	n, host, left, right := limitedToPort(t)
	rng := rand.NewChaCha8([32]byte{22})
	for _, ends := range [][2]netip.Addr{{client4, rightLAN4}, {client6, rightLAN6}} {
		at := netip.AddrPortFrom(ends[1], 5001)
		server := udp(t, n.right, at, netip.AddrPort{})
		client := udp(t, host, netip.AddrPortFrom(ends[0], 0), at)
		payload := make([]byte, 9000)
		_, _ = rng.Read(payload)
		// IPv6 loses its first large datagram, from which it learns the path MTU.
		for try := 0; echo(client, server, payload[:1440], time.Second) != nil; try++ {
			if try == 5 || ends[0].Is4() {
				t.Fatalf("%v: 1440 octets do not come through", ends)
			}
		}
		for _, size := range []int{100, 1380, 1400, 1410, 1420, 1450, 1472, 1473, 2000, 2900, 4000, 6000, 8972, 9000} {
			if err := echo(client, server, payload[:size], 5*time.Second); err != nil {
				t.Errorf("%v: %d octets: %v", ends, size, err)
			}
		}
	}
	for _, g := range []*gateway{left, right} {
		c := g.status().Counters
		if c["out_fragment"]+c["esp_fragment"]+c["out_no_policy"]+c["esp_selector_mismatch"] != 0 {
			t.Errorf("packets were dropped: %v", c)
		}
	}
}

// TestErrorsAboutALimitedChild: through a child limited to a port, a closed port refuses rather
// than let the sender time out.
func TestErrorsAboutALimitedChild(t *testing.T) {
	_, host, left, right := limitedToPort(t)
	for _, ends := range [][2]netip.Addr{{client4, rightLAN4}, {client6, rightLAN6}} {
		client := udp(t, host, netip.AddrPortFrom(ends[0], 0), netip.AddrPortFrom(ends[1], 5001))
		_, err := client.Write([]byte("anyone?"))
		ok(t, err, client.SetReadDeadline(time.Now().Add(5*time.Second)))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%v: %v, want %v", ends, err, unix.ECONNREFUSED)
		}
	}
	for _, g := range []*gateway{left, right} {
		if n := g.status().Counters["icmp_carried"]; n != 2 {
			t.Errorf("%d errors were carried, want 2", n)
		}
	}
}
