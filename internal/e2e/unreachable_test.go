//go:build linux

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// waitUnreachable waits until status says what keeps packets from the peer, in the given state.
func (g *gateway) waitUnreachable(t *testing.T, limit time.Duration, state, want string) {
	t.Helper()
	start := time.Now()
	g.wait(limit, "status to say "+want, "right", func(p peerStatus) bool {
		return (state == "" || p.State == state) && strings.Contains(p.Unreachable, want)
	})
	t.Logf("said after %v", time.Since(start).Round(10*time.Millisecond))
}

// TestUnreachable: what keeps packets from the peer is said at once, when it is called and
// while it is connected, and ends no SA: the tunnel is the same when the obstacle is gone.
func TestUnreachable(t *testing.T) {
	for remote, local := range map[string]string{"192.0.2.2": "192.0.2.1", "2001:db8::2": "2001:db8::1"} {
		t.Run(remote, func(t *testing.T) {
			n := build(t, topology{})
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			left.start(peerText("right", "remote = \""+remote+"\"\n"+identities("left", "right"), leftChildren(boot)...))
			left.waitUnreachable(t, 5*time.Second, "connecting", "port unreachable, said by "+remote)
			if p := left.peer("right"); !strings.Contains(p.Reason, "is IKE running at ") {
				t.Errorf("the reason is %q", p.Reason)
			}
			right.start(peerText("left", identities("right", "left"), rightChildren("")...))
			left.do("up", "right")
			left.waitUp("right")
			was := left.peer("right").SPIi
			mend := func(what string, do error) {
				t.Helper()
				ok(t, do)
				wantPing(t, n.left, leftLAN4, rightLAN4)
				if got := left.peer("right").SPIi; got != was {
					t.Errorf("%s: another IKE SA", what)
				}
			}
			traffic := func() { // for longer than the pause between two reports of a path
				for range 30 {
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					n.left.Ping(ctx, leftLAN4, rightLAN4, 64) // it is not answered
					cancel()
				}
			}

			ok(t, n.left.NFT("add table inet own", "add chain inet own out { type filter hook output priority 0; }", "add rule inet own out oifname wan drop"))
			traffic()
			left.waitUnreachable(t, 5*time.Second, "established", "a firewall of this host refuses what is sent (EPERM)")
			mend("a firewall", n.left.NFT("delete table inet own"))

			link, err := n.left.Netlink().LinkByName("wan")
			ok(t, err)
			family := map[bool]int{true: netlink.FAMILY_V4, false: netlink.FAMILY_V6}[strings.Contains(local, ".")]
			routes, err := n.left.Netlink().RouteList(link, family)
			ok(t, err)
			for i := range routes {
				ok(t, n.left.Netlink().RouteDel(&routes[i]))
			}
			traffic()
			left.waitUnreachable(t, 5*time.Second, "established", "no route from this host")
			slices.SortStableFunc(routes, func(a, b netlink.Route) int { return len(a.Gw) - len(b.Gw) }) // those of the link first
			for i := range routes {
				ok(t, n.left.Netlink().RouteReplace(&routes[i]))
			}
			mend("a route", nil)

			bits := map[bool]string{true: "/24", false: "/64"}[strings.Contains(local, ".")]
			a, err := netlink.ParseAddr(local + bits)
			ok(t, err)
			ok(t, n.left.Netlink().AddrDel(link, a))
			left.waitUnreachable(t, 5*time.Second, "", "our address "+local+" is gone")
			a.Flags = 0x02 // IFA_F_NODAD: usable at once
			mend("the address", n.left.Netlink().AddrAdd(link, a))
		})
	}
}
