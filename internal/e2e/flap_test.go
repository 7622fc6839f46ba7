//go:build linux

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"culvert/internal/netlab"
)

// address is an address of a device, to add or delete.
func address(t *testing.T, s string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(s)
	ok(t, err)
	return a
}

// TestOutages removes a link, a route or an address under traffic, and restores it: the loss is
// hardly longer than the outage, the daemon only counts, and it uses no more CPU time for packets
// that it cannot send than for others.
func TestOutages(t *testing.T) {
	const rate = 1000 // datagrams per second each way
	for _, tt := range []struct{ name, keys string }{{"protocol 50", protocol50}, {"UDP", "encap = \"always\"\n"}} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := pair(t, n, "192.0.2.2", tt.keys)
			wan, err := n.left.Netlink().LinkByName("wan")
			ok(t, err)
			spi := left.peer("right").SPIi
			for _, o := range []struct {
				what       string
				begin, end func() error
			}{
				{"the outer link is down", func() error { return n.left.SetLink("wan", false) }, func() error { return n.left.SetLink("wan", true) }},
				{"the device is down", func() error { return n.left.SetLink("culvert0", false) }, func() error { return n.left.SetLink("culvert0", true) }},
				{"the outer address is gone",
					func() error { return n.left.Netlink().AddrDel(wan, address(t, "192.0.2.1/24")) },
					func() error { return n.left.Netlink().AddrAdd(wan, address(t, "192.0.2.1/24")) }},
			} {
				n.wantPing(t, 10*time.Second)
				there, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, rate, 200)
				ok(t, err)
				back, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, rate, 200)
				ok(t, err)
				wantFlow(t, o.what, there, back)
				start, before := time.Now(), cpu(t, left)
				ok(t, o.begin())
				time.Sleep(500 * time.Millisecond) // the outage
				spent := cpu(t, left) - before
				ok(t, o.end())
				wantFlow(t, o.what, there, back)
				outage := time.Since(start)
				lost := [2]uint64{there.Stop(200 * time.Millisecond), back.Stop(200 * time.Millisecond)}
				t.Logf("%s for %v, lost %d, %v of a processor", o.what, outage.Round(time.Millisecond), lost, spent)
				if spent > 150*time.Millisecond {
					t.Errorf("%s: the daemon used %v of the processor in half a second", o.what, spent)
				}
				for _, l := range lost {
					if limit := uint64((outage.Seconds() + 0.1) * rate); l > limit {
						t.Errorf("%s: %d datagrams lost in %v", o.what, l, outage)
					}
				}
			}
			if p := left.peer("right"); p.SPIi != spi || p.State != "established" {
				t.Errorf("the IKE SA is another one: %+v", p)
			}
			wantNeverDown(t, left, right)
			left.stopsAtOnce()
			right.stopsAtOnce()
		})
	}
}

func cpu(t *testing.T, g *gateway) time.Duration {
	t.Helper()
	d, err := g.proc.CPU()
	ok(t, err)
	return d
}

// wantFlow waits, at most a second and a half, until datagrams arrive both ways.
func wantFlow(t *testing.T, what string, streams ...*netlab.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	for _, s := range streams {
		from := s.Received.Load()
		if err := netlab.Until(ctx, "traffic", func() bool { return s.Received.Load() > from+20 }); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestDeviceDeleted deletes the device under traffic: the daemon logs it, informs the peer, removes
// the rest and ends with an error, so that a supervisor starts it again.
func TestDeviceDeleted(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	n.load(t)
	left.wait(10*time.Second, "load", "right", func(p peerStatus) bool { return p.Children[0].PacketsOut > 5000 })
	link, err := n.left.Netlink().LinkByName("culvert0")
	ok(t, err)
	ok(t, n.left.Netlink().LinkDel(link))
	select {
	case <-left.proc.Done():
	case <-time.After(2 * time.Second):
		t.Fatal("the daemon goes on without its device")
	}
	if code := left.proc.ExitCode(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	if out := left.proc.Output(); !strings.Contains(out, "the TUN device is gone") || strings.Contains(out, "goroutine ") {
		t.Error("the last words do not name the device")
	}
	left.wantNothingLeft()
	right.wait(5*time.Second, "right to hear of it", "left", func(p peerStatus) bool { return p.State == "down" })
	right.stop()
}

// TestPathMTUShrinksUnderTCP makes the path smaller during a transfer, first beyond a router and
// then at the device itself: the transfer completes.
func TestPathMTUShrinksUnderTCP(t *testing.T) {
	for _, tt := range []struct {
		name   string
		shrink func(n *network) (*netlab.Host, string, int)
	}{
		{"beyond a router", func(n *network) (*netlab.Host, string, int) { return n.nat, "out", 1400 }},
		{"at the device", func(n *network) (*netlab.Host, string, int) { return n.left, "wan", 1350 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{nat: true})
			left, _ := pair(t, n, "192.0.2.2", "")
			n.wantPing(t, 10*time.Second)
			ok(t, n.left.Shape("wan", 200e6, 1<<20, false)) // so that the transfer lasts
			const octets = 24 << 20
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := netlab.Transfer(ctx, n.left, leftLAN4, n.right, rightLAN4, octets)
				done <- err
			}()
			left.wait(10*time.Second, "the transfer", "right", func(p peerStatus) bool { return p.Children[0].PacketsOut > 4000 })
			host, dev, mtu := tt.shrink(n)
			link, err := host.Netlink().LinkByName(dev)
			ok(t, err, host.Netlink().LinkSetMTU(link, mtu))
			select {
			case err := <-done:
				t.Fatalf("the transfer was over before the path shrank: %v", err)
			default:
			}
			ok(t, <-done)
			c := left.status().Counters
			if c["net_send_too_big"] == 0 && c["out_too_big"] == 0 && c["pmtu_icmp"] == 0 {
				t.Error("nothing was counted as too big")
			}
			left.wait(5*time.Second, "the child's MTU to follow", "right", func(p peerStatus) bool { return p.Children[0].MTU < mtu-28 })
		})
	}
}
