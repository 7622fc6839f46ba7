//go:build linux

package e2e

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"culvert/internal/netlab"
)

// nameServer answers every question in a host's namespace with its present address.
type nameServer struct {
	addr  atomic.Pointer[netip.Addr]
	asked atomic.Int64
}

// serve answers at 127.0.0.1:53 until the test ends, and returns a wrapper that makes a gateway ask
// there.
func (s *nameServer) serve(t *testing.T, h *netlab.Host) (within []string) {
	t.Helper()
	s.serveAt(t, h, "127.0.0.1:53")
	file := filepath.Join(t.TempDir(), "resolv.conf")
	ok(t, os.WriteFile(file, []byte("nameserver 127.0.0.1\n"), 0o644))
	return []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, file}
}

// serveAt answers at an address until the test ends.
func (s *nameServer) serveAt(t *testing.T, h *netlab.Host, at string) {
	t.Helper()
	var c net.PacketConn
	ok(t, h.Do(func() (err error) {
		c, err = net.ListenPacket("udp4", at)
		return err
	}))
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := s.answer(buf[:n]); answer != nil {
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
}

func (s *nameServer) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		s.asked.Add(1)
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: s.addr.Load().As4()},
		}}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

func (s *nameServer) set(a string) {
	addr := netip.MustParseAddr(a)
	s.addr.Store(&addr)
}

// TestNameMovesAway: at the old address of the peer's name another IKE daemon refuses us, and the
// peer is elsewhere. The name is looked up again.
func TestNameMovesAway(t *testing.T) {
	n := build(t, topology{})
	third, err := n.lab.Host("third")
	ok(t, err)
	ok(t, n.lab.Link(netlab.Iface{Host: n.left, Name: "wan2", Addrs: []string{"198.51.100.1/24"}},
		netlab.Iface{Host: third, Name: "wan", Addrs: []string{"198.51.100.3/24"}}, 1500))
	names := &nameServer{}
	names.set("192.0.2.2")

	other := newGateway(t, n.right)
	other.start(peerText("left", "local_id = \"right.example.com\"\nremote_id = \"left.example.com\"\npsk = \"the secret of somebody else altogether\"\n", rightChildren("")...))
	peer := newGateway(t, third)
	peer.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left := newGateway(t, n.left)
	left.within = names.serve(t, n.left)
	left.start(peerText("right", "remote = \"hq.example.com\"\n"+identities("left", "right"), leftChildren(boot)...))

	left.wait(10*time.Second, "the refusal", "right", func(p peerStatus) bool { return p.State == "down" && p.Reason != "" })
	asked := names.asked.Load()
	names.set("198.51.100.3")
	left.wait(20*time.Second, "the tunnel to come up at the new address", "right", func(p peerStatus) bool {
		host, _, _ := net.SplitHostPort(p.Remote)
		return p.State == "established" && host == "198.51.100.3"
	})
	if again := names.asked.Load() - asked; again < 1 || again > 10 {
		t.Errorf("the name was looked up %d times meanwhile", again)
	}
}
