//go:build linux

package e2e

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
)

// TestNothingLeaksFromASocketBoundToADevice sends, as an unprivileged user, from a socket bound to
// the outer device and to a protected source: routes do not apply to it.
func TestNothingLeaksFromASocketBoundToADevice(t *testing.T) {
	t.Parallel()
	n := build(t, topology{client: true})
	left, right := pair(t, n, "192.0.2.2", "")
	for _, p := range [][2]netip.Addr{{leftLAN4, rightLAN4}, {leftLAN6, rightLAN6}} {
		var sent, refused int
		before := left.status().Guard.Drops.Out
		ok(t, n.left.Do(func() error {
			c, err := boundSocket(p[0], "wan")
			if err != nil {
				return err
			}
			defer c.Close()
			for range 20 {
				if _, err := c.WriteTo([]byte("a secret"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(p[1], 9))); err != nil {
					refused++
				}
				sent++
			}
			return nil
		}))
		n.leaks.wantNone(t, p[0].String())
		if drops := left.status().Guard.Drops.Out - before; drops < uint64(sent) {
			t.Errorf("of %d datagrams from %s to %s %d were refused, and %d counted by the guard", sent, p[0], p[1], refused, drops)
		}
	}
	right.stop()
}

// boundSocket makes a socket as the user nobody, in the calling thread's network namespace.
func boundSocket(src netip.Addr, dev string) (net.PacketConn, error) {
	// The thread keeps the user and ends with the goroutine: Host.Do never unlocks it.
	runtime.LockOSThread()
	const nobody = 65534
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
		return nil, errno
	}
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: src.As16()})
	if src.Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Addr: src.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "bound")
	defer f.Close()
	if err := unix.BindToDevice(fd, dev); err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return nil, err
	}
	return net.FilePacketConn(f)
}

// TestPlaintextFromOutsideIsDropped puts plaintext from a protected remote network to a local one
// on the outer link: neither the gateway nor a host behind it receives it, with and without an SA.
func TestPlaintextFromOutsideIsDropped(t *testing.T) {
	t.Parallel()
	n := build(t, topology{client: true})
	for _, dev := range []string{"all", "default", "wan"} { // the guard alone must do it
		ok(t, n.left.Sysctl("ipv4/conf/"+dev+"/rp_filter", "0"))
	}
	left, right := pair(t, n, "192.0.2.2", "")
	attacker := net.HardwareAddr{2, 0, 0, 0, 0xba, 0xd}
	n.leaks.ignore(attacker)
	wan, err := n.left.Netlink().LinkByName("wan")
	ok(t, err)
	for _, tt := range []struct {
		name string
		host *netlab.Host
		from netip.Addr
		to   netip.Addr
	}{
		{"IPv4 to the gateway", n.left, rightLAN4, leftLAN4},
		{"IPv6 to the gateway", n.left, rightLAN6, leftLAN6},
		{"IPv4 to a host behind it", n.client, rightLAN4, behind4},
		{"IPv6 to a host behind it", n.client, rightLAN6, behind6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got atomic.Uint64
			to := listen(t, tt.host, tt.to, func([]byte) { got.Add(1) })
			before := left.status().Guard.Drops.In
			const packets = 20
			var forged [][]byte
			for range packets {
				forged = append(forged, netlab.UDPPacket(netip.AddrPortFrom(tt.from, 9), to, []byte("forged")))
			}
			ok(t, n.right.Inject("wan", attacker, wan.Attrs().HardwareAddr, forged...))
			// When later packets have come through the tunnel, the forged ones would have arrived
			// as well.
			wantPing(t, n.right, tt.from, tt.to)
			send(t, n.right, netip.AddrPortFrom(tt.from, 0), to, "honest")
			for deadline := time.Now().Add(5 * time.Second); got.Load() == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if g := got.Load(); g != 1 {
				t.Errorf("%d datagrams came, want the one through the tunnel", g)
			}
			if drops := left.status().Guard.Drops.In - before; drops != packets {
				t.Errorf("the guard counted %d, want %d", drops, packets)
			}
			n.leaks.wantNone(t, tt.name)
		})
	}
	right.stop()
}

// TestNothingLeaksFromBehindNAT has a container behind the gateway, whose packets get a protected
// source only by NAT, after routing: they are dropped and counted.
func TestNothingLeaksFromBehindNAT(t *testing.T) {
	t.Parallel()
	n := build(t, topology{client: true, flows: []flow{flowOf("10.99.0.1/32", "10.2.0.0/24"), flowOf("fd99::1/128", "fd02::/64")}})
	ok(t, n.left.LAN("own", "10.99.0.1/32", "fd99::1/128"), n.left.NFT(
		"add table inet containers",
		"add chain inet containers post { type nat hook postrouting priority 100; }",
		`add rule inet containers post ip saddr 10.1.0.0/24 oifname != "culvert0" snat to 10.99.0.1`,
		`add rule inet containers post ip6 saddr fd01::/64 oifname != "culvert0" snat to fd99::1`))
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), childText("v4", "10.2.0.0/24", "10.99.0.1/32", ""), childText("v6", "fd02::/64", "fd99::1/128", "")))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), childText("v4", "10.99.0.1/32", "10.2.0.0/24", boot), childText("v6", "fd99::1/128", "fd02::/64", boot)))
	left.waitUp("right")
	wantPing(t, n.left, addr("10.99.0.1"), rightLAN4)
	wantPing(t, n.left, addr("fd99::1"), rightLAN6)
	for _, p := range [][2]netip.Addr{{behind4, rightLAN4}, {behind6, rightLAN6}} {
		before := left.status().Guard.Drops.Out
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		send(t, n.client, netip.AddrPortFrom(p[0], 0), netip.AddrPortFrom(p[1], 9), "a secret")
		ok(t, netlab.Until(ctx, "the guard to count it", func() bool { return left.status().Guard.Drops.Out > before }))
		n.leaks.wantNone(t, p[0].String())
	}
	right.stop()
}
