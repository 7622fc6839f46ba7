//go:build linux

package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// beside attaches a third host to left, at addr of the network of here.
func (n *network) beside(t *testing.T, here, addr string) *netlab.Host {
	t.Helper()
	third, err := n.lab.Host("third")
	ok(t, err)
	ok(t, n.lab.Link(netlab.Iface{Host: n.left, Name: "lan2", Addrs: []string{here}}, netlab.Iface{Host: third, Name: "lan2", Addrs: []string{addr}}, 1500))
	via, _, _ := strings.Cut(here, "/")
	ok(t, third.Route("default", via, 0))
	return third
}

// A second LAN inside the remote network is unreachable, and the log names it; bypass opens the
// way, in both directions at once, and the tunnel stays up.
func TestBypassOfASecondLAN(t *testing.T) {
	n := build(t, topology{})
	n.beside(t, "10.5.0.1/24", "10.5.0.2/24")
	ok(t, n.right.Sysctl("ipv4/ip_forward", "0")) // it has no way to 10.5.0.0/24 but the default route
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), childText("wide", "10.0.0.0/8", "10.1.0.0/24", "")))
	with := func(more string) string {
		return peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), childText("wide", "10.1.0.0/24", "10.0.0.0/8", boot+"\n"+more))
	}
	left.start(with(""))
	left.waitUp("right")
	if log := left.proc.Output(); !strings.Contains(log, "remote 10.0.0.0/8 contains 10.5.0.0/24, a network attached to this host (lan2)") {
		t.Error("the log has no warning of the attached network")
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := n.left.Ping(short, leftLAN4, addr("10.5.0.2"), 56); err == nil {
		t.Error("the second LAN answered although it is in the remote network")
	}
	left.write(with("  bypass = [\"10.5.0.0/24\"]"))
	if out := left.do("reload"); !strings.Contains(out, "routing of child wide") {
		t.Errorf("the reload says %q", out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := n.left.Ping(ctx, leftLAN4, addr("10.5.0.2"), 56)
	ok(t, err)
	before := left.child("right", "wide").PacketsIn
	_, err = n.left.Ping(ctx, leftLAN4, rightLAN4, 56)
	ok(t, err)
	if left.child("right", "wide").PacketsIn == before {
		t.Error("the ping did not go through the tunnel")
	}
}

// A full tunnel leaves the networks of the host's links outside; all other traffic goes through it.
func TestFullTunnelLeavesLinksOutside(t *testing.T) {
	n := build(t, topology{})
	n.beside(t, "198.51.100.1/24", "198.51.100.3/24")
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), childText("all", "0.0.0.0/0", "10.1.0.0/24", "")))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), childText("all", "10.1.0.0/24", "0.0.0.0/0", boot)))
	left.waitUp("right")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := n.left.Ping(ctx, leftLAN4, addr("198.51.100.3"), 56)
	ok(t, err)
	_, err = n.left.Ping(ctx, leftLAN4, rightLAN4, 56)
	ok(t, err)
	if c := left.child("right", "all"); c.PacketsIn == 0 {
		t.Error("the ping to the other site did not go through the tunnel")
	}
	if log := left.proc.Output(); strings.Count(log, "outside of the tunnel: ") != 1 || !strings.Contains(log, "198.51.100.0/24 (lan2)") {
		t.Error("the log does not say once what is outside")
	}
}

// stub answers at 127.0.0.53 as systemd-resolved does, by asking another server from an ordinary
// socket. It returns a wrapper that makes a gateway ask there.
func stub(t *testing.T, h *netlab.Host, upstream string) (within []string) {
	t.Helper()
	var c net.PacketConn
	ok(t, h.Do(func() (err error) {
		c, err = net.ListenPacket("udp4", "127.0.0.53:53")
		return err
	}))
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			size, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_ = h.Do(func() error {
				up, err := net.Dial("udp4", upstream+":53")
				if err != nil {
					return err
				}
				defer up.Close()
				_ = up.SetDeadline(time.Now().Add(time.Second))
				if _, err := up.Write(buf[:size]); err != nil {
					return err
				}
				if size, err = up.Read(buf); err == nil {
					_, err = c.WriteTo(buf[:size], from)
				}
				return err
			})
		}
	}()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	ok(t, os.WriteFile(file, []byte("nameserver 127.0.0.53\n"), 0o644))
	return []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && mount -t tmpfs none /run && mkdir -p /run/systemd/resolve &&
		echo nameserver ` + upstream + ` >/run/systemd/resolve/resolv.conf && exec "$@"`, file}
}

// The peer of a full tunnel has a name, and the resolver is a stub whose own questions have a
// protected source: its server is outside, and the name is resolved.
func TestStubResolverBeforeAFullTunnel(t *testing.T) {
	n := build(t, topology{})
	third := n.beside(t, "198.51.100.1/24", "198.51.100.3/24")
	ok(t, third.LAN("dns", "203.0.113.53/24"), n.left.Route("203.0.113.0/24", "198.51.100.3", 0))
	names := &nameServer{}
	names.set("192.0.2.2")
	names.serveAt(t, third, "203.0.113.53:53")
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), childText("all", "0.0.0.0/0", "198.51.100.1", "")))
	left.within = stub(t, n.left, "203.0.113.53")
	left.start(peerText("right", "remote = \"hq.example.com\"\n"+identities("left", "right"), childText("all", "198.51.100.1", "0.0.0.0/0", boot)))
	left.waitUp("right")
	if log := left.proc.Output(); !strings.Contains(log, "203.0.113.53 (resolver)") {
		t.Error("the log does not say that the resolver's server is outside")
	}
}
