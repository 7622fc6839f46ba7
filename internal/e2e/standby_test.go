//go:build linux

package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// redundant starts a hub with two gateways, a and b, that both have the network 10.2.0.0/24, with a
// service at one address in it. The hub prefers a.
func redundant(t *testing.T) (s *star, hub, a *gateway) {
	t.Helper()
	s = buildStar(t, []flow{flowOf("10.1.0.0/16", "10.2.0.0/16"), flowOf("10.2.0.0/16", "10.1.0.0/16"), flowOf("fd00::/8", "fd00::/8")})
	ok(t, s.hub.LAN("lan", "10.1.0.1/24", "fd01::1/64"), s.a.LAN("lan", "10.2.0.1/24", "fd02::1/64"), s.b.LAN("lan", "10.2.0.1/24", "fd02::1/64"))
	local, remote := []string{"10.1.0.0/24", "fd01::/64"}, []string{"10.2.0.0/24", "fd02::/64"}
	var peers []string
	gateways := map[string]*gateway{}
	for i, spoke := range []struct {
		name, wan string
		host      *netlab.Host
	}{{"a", aWAN, s.a}, {"b", bWAN, s.b}} {
		keys := fmt.Sprintf("remote = %q\npriority = %d\nretry = { max = \"2s\" }\n", spoke.wan, i+1)
		peers = append(peers, peerText(spoke.name, keys+identities("hub", spoke.name), networksText("lan", local, remote, boot)))
		g := newGateway(t, spoke.host)
		g.start(peerText("hub", identities(spoke.name, "hub"), networksText("lan", remote, local, "")))
		gateways[spoke.name] = g
	}
	hub = newGateway(t, s.hub)
	hub.start(peers...)
	hub.waitUp("a")
	hub.waitUp("b")
	hub.waitActive(t, "a")
	wantPing(t, s.hub, addr("10.1.0.1"), addr("10.2.0.1"))
	wantPing(t, s.hub, addr("fd01::1"), addr("fd02::1"))
	return s, hub, gateways["a"]
}

// waitActive waits until packets are sent through a peer's child.
func (g *gateway) waitActive(t *testing.T, peer string) {
	t.Helper()
	g.wait(40*time.Second, "packets to be sent through it", peer, func(p peerStatus) bool {
		r := p.Children[0].Role
		return r != nil && r.Active
	})
}

// pings sends 200 echo requests per second, and returns the number of those without a reply when it
// is ended.
func (s *star) pings(t *testing.T, length time.Duration) (lost func() int) {
	t.Helper()
	result := make(chan int, 1)
	go func() {
		_, n, err := s.hub.Pings(t.Context(), addr("10.1.0.1"), addr("10.2.0.1"), 200, length)
		if err != nil {
			t.Errorf("pings: %v", err)
		}
		result <- n
	}()
	return func() int { return <-result }
}

// TestStandbyTakesOver has two gateways for one network. The preferred one is killed and started
// again, or its ESP is dropped for a while: the other one takes over within a check, and nothing is
// lost on the way back.
func TestStandbyTakesOver(t *testing.T) {
	for name, c := range map[string]struct {
		fail, mend func(s *star, a *gateway) error
	}{
		"killed": {
			func(_ *star, a *gateway) error {
				a.signal(syscall.SIGKILL)
				<-a.proc.Done()
				return nil
			},
			func(_ *star, a *gateway) error { a.run(); return nil },
		},
		"only ESP": {
			func(s *star, _ *gateway) error {
				return s.net.Block("ip saddr { " + hubWAN + ", " + aWAN + " } ip daddr { " + hubWAN + ", " + aWAN + " } meta l4proto esp")
			},
			func(s *star, _ *gateway) error { return s.net.Unblock() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, hub, a := redundant(t)
			lost := s.pings(t, 10*time.Second)
			time.Sleep(4 * time.Second) // traffic that is usual
			ok(t, c.fail(s, a))
			hub.waitActive(t, "b")
			outage := time.Duration(lost()) * 5 * time.Millisecond
			t.Logf("%s: without answers for %v", name, outage)
			if outage > 5*time.Second {
				t.Errorf("without answers for %v", outage)
			}
			wantPing(t, s.hub, addr("fd01::1"), addr("fd02::1"))
			lost = s.pings(t, 25*time.Second)
			ok(t, c.mend(s, a))
			hub.waitActive(t, "a")
			if n := lost(); n > 0 {
				t.Errorf("%d packets were lost on the way back", n)
			}
			wantPing(t, s.hub, addr("fd01::1"), addr("fd02::1"))
			s.leaks.wantNone(t, "at the end")
		})
	}
}
