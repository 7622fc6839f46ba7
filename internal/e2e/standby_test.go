//go:build linux

package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// redundant starts a hub with two gateways, a and b, that both have the network 10.2.0.0/24, with a
// service at one address in it. The hub prefers a. The function begin starts a gateway.
func redundant(t *testing.T, wans [2]string, begin func(name string, h *netlab.Host)) (s *star, hub *gateway) {
	t.Helper()
	s = buildStar(t, []flow{flowOf("10.1.0.0/16", "10.2.0.0/16"), flowOf("10.2.0.0/16", "10.1.0.0/16"), flowOf("fd00::/8", "fd00::/8")})
	ok(t, s.hub.LAN("lan", "10.1.0.1/24", "fd01::1/64"), s.a.LAN("lan", "10.2.0.1/24", "fd02::1/64"), s.b.LAN("lan", "10.2.0.1/24", "fd02::1/64"))
	begin("a", s.a)
	begin("b", s.b)
	var peers []string
	for i, wan := range wans {
		name := string(rune('a' + i))
		keys := fmt.Sprintf("remote = %q\npriority = %d\nretry = { max = \"2s\" }\n", wan, i+1)
		peers = append(peers, peerText(name, keys+identities("hub", name), networksText("lan", hubNetworks, spokeNetworks, boot)))
	}
	hub = newGateway(t, s.hub)
	hub.start(peers...)
	hub.waitUp("a")
	hub.waitUp("b")
	hub.waitActive(t, "a")
	s.wantBoth(t)
	return s, hub
}

var hubNetworks, spokeNetworks = []string{"10.1.0.0/24", "fd01::/64"}, []string{"10.2.0.0/24", "fd02::/64"}

// startSpoke starts a culvert as one of the gateways.
func startSpoke(t *testing.T, name string, h *netlab.Host) *gateway {
	t.Helper()
	g := newGateway(t, h)
	g.start(peerText("hub", identities(name, "hub"), networksText("lan", spokeNetworks, hubNetworks, "")))
	return g
}

// wantBoth checks that the hub reaches the service, by IPv4 and IPv6.
func (s *star) wantBoth(t *testing.T) {
	t.Helper()
	wantPing(t, s.hub, addr("10.1.0.1"), addr("10.2.0.1"))
	wantPing(t, s.hub, addr("fd01::1"), addr("fd02::1"))
}

// waitActive waits until packets are sent through a peer's child.
func (g *gateway) waitActive(t *testing.T, peer string) {
	t.Helper()
	g.wait(40*time.Second, "packets to be sent through it", peer, func(p peerStatus) bool {
		r := p.Children[0].Role
		return r != nil && r.Active
	})
}

// pings sends 200 echo requests per second for a time, or with 0 until it is ended. When it is
// ended, it returns the number of those without a reply.
func (s *star) pings(t *testing.T, length time.Duration) (end func() int) {
	t.Helper()
	stop, result := make(chan struct{}), make(chan int, 1)
	go func() {
		lost := 0
		for ended := false; !ended; {
			_, n, err := s.hub.Pings(t.Context(), addr("10.1.0.1"), addr("10.2.0.1"), 200, cmp.Or(length, time.Second))
			if err != nil {
				t.Errorf("pings: %v", err)
			}
			lost += n
			select {
			case <-stop:
				ended = true
			default:
				ended = length > 0 || err != nil
			}
		}
		result <- lost
	}()
	return func() int { close(stop); return <-result }
}

// TestStandbyTakesOver has two gateways for one network. The preferred one is killed and started
// again, or its ESP is dropped for a while: the other one takes over within a check, and nothing is
// lost on the way back.
func TestStandbyTakesOver(t *testing.T) {
	kill := func(_ *star, a *gateway) error {
		a.signal(syscall.SIGKILL)
		<-a.proc.Done()
		return nil
	}
	start := func(_ *star, a *gateway) error { a.run(); return nil }
	for name, c := range map[string]struct {
		wans       [2]string
		fail, mend func(s *star, a *gateway) error
	}{
		"killed":           {wans4, kill, start},
		"killed over IPv6": {wans6, kill, start},
		"only ESP": {
			wans4,
			func(s *star, _ *gateway) error {
				between := "ip saddr { " + hubWAN + ", " + aWAN + " } ip daddr { " + hubWAN + ", " + aWAN + " } "
				return errors.Join(s.net.Block(between+proto50), s.net.Block(between+espInUDP))
			},
			func(s *star, _ *gateway) error { return s.net.Unblock() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a *gateway
			s, hub := redundant(t, c.wans, func(name string, h *netlab.Host) {
				if g := startSpoke(t, name, h); name == "a" {
					a = g
				}
			})
			s.takeOver(t, hub, func() { ok(t, c.fail(s, a)) }, func() { ok(t, c.mend(s, a)) })
		})
	}
}

// takeOver has the preferred gateway fail under traffic, and then work again.
func (s *star) takeOver(t *testing.T, hub *gateway, fail, mend func()) {
	t.Helper()
	lost := s.pings(t, 9*time.Second)
	time.Sleep(3 * time.Second) // traffic that is usual
	fail()
	hub.waitActive(t, "b")
	outage := time.Duration(lost()) * 5 * time.Millisecond
	t.Logf("without answers for %v", outage)
	if outage > 5*time.Second {
		t.Errorf("without answers for %v", outage)
	}
	s.wantBoth(t)
	lost = s.pings(t, 0)
	mend()
	hub.waitActive(t, "a")
	if n := lost(); n > 0 {
		t.Errorf("%d packets were lost on the way back", n)
	}
	s.wantBoth(t)
	s.leaks.wantNone(t, "at the end")
}
