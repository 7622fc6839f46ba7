//go:build linux

package e2e

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
)

// A broken is a broken set-up, built for a test.
type broken struct {
	n           *network
	left, right *gateway // right may be nil
}

// sorry has a host drop what comes in and matches an nft expression, silently.
func sorry(t *testing.T, h *netlab.Host, expr string) {
	t.Helper()
	ok(t, h.NFT("add table inet sorry", "add chain inet sorry in { type filter hook input priority 0; }",
		"add rule inet sorry in iifname wan "+expr+" drop"))
}

// pings sends echo requests from left to right until the test ends.
func (b *broken) pings(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = b.n.left.Pings(ctx, leftLAN4, rightLAN4, 10, time.Minute)
	}()
	t.Cleanup(func() { stop(); <-done })
}

// firstLines returns the first lines of what a command of the gateway prints on 80 columns.
func (g *gateway) firstLines(n int, args ...string) string {
	g.t.Helper()
	lines := strings.SplitAfter(g.do(args...), "\n")
	return strings.Join(lines[:min(n, len(lines))], "")
}

// wantNamed waits until the fault is named in the first three lines of status and of explain.
func (g *gateway) wantNamed(t *testing.T, peer string, limit time.Duration, words ...string) {
	t.Helper()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var said string
	err := netlab.Until(ctx, "the fault to be named", func() bool {
		for _, command := range []string{"status", "explain"} {
			said = g.firstLines(3, command, peer)
			for _, w := range words {
				if !strings.Contains(strings.Join(strings.Fields(said), " "), w) {
					return false
				}
			}
		}
		return true
	})
	if err != nil {
		t.Errorf("%s: not named within %v; it says\n%s\n%s", g.host.Name, limit, indent(g.do("status", peer)), indent(g.do("explain", peer)))
		return
	}
	t.Logf("%s after %v:\n%s", g.host.Name, time.Since(begun).Round(10*time.Millisecond), said)
}

const (
	namedWithin     = 5 * time.Second
	pathNamedWithin = 10 * time.Second
)

// TestFaultsAreNamed: of each broken set-up the first three lines of `status` and `explain` name
// what is wrong within five seconds, and what to do, on both sides where both can know it.
func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	to := func(remote string) string { return "remote = \"" + remote + "\"\n" + identities("left", "right") }
	calls := func(b *broken, more string) {
		b.left.start(peerText("right", to("192.0.2.2")+more, leftChildren(boot)...))
	}
	answers := func(b *broken, more string) {
		b.right = newGateway(b.left.t, b.n.right)
		b.right.start(peerText("left", "remote = \"192.0.2.1\"\n"+identities("right", "left")+more, rightChildren("")...))
	}
	up := func(b *broken, more string) {
		answers(b, more)
		calls(b, more)
		b.left.waitUp("right")
		b.right.waitUp("left")
	}
	for name, c := range map[string]struct {
		top   topology
		limit time.Duration
		begin func(t *testing.T, b *broken)
		left  []string
		right []string
	}{
		"nobody listens": {
			begin: func(_ *testing.T, b *broken) { calls(b, "") },
			left:  []string{"unreachable: port unreachable, said by 192.0.2.2", "is IKE running at 192.0.2.2:500?"},
		},
		"no route": {
			begin: func(t *testing.T, b *broken) {
				ok(t, b.n.left.Netlink().RouteAdd(&netlink.Route{Dst: netlink.NewIPNet(net.IPv4(198, 51, 100, 1)), Type: unix.RTN_UNREACHABLE}))
				b.left.start(peerText("right", to("198.51.100.1"), leftChildren(boot)...))
			},
			left: []string{"unreachable: no route from this host", "see `ip route get 198.51.100.1`"},
		},
		"nobody has the address": {
			begin: func(_ *testing.T, b *broken) {
				b.left.start(peerText("right", to("192.0.2.77"), leftChildren(boot)...))
			},
			left: []string{"unreachable: host unreachable, said by 192.0.2.1"},
		},
		"UDP port 500 is dropped": {
			begin: func(t *testing.T, b *broken) {
				sorry(t, b.n.right, "udp dport 500")
				answers(b, "")
				calls(b, "")
			},
			left: []string{"no answer from 192.0.2.2: IKE_SA_INIT was sent ", "to UDP port 500", "does UDP port 500 pass in both directions?"},
		},
		"UDP port 4500 is dropped, behind a NAT": {
			top: topology{nat: true},
			begin: func(t *testing.T, b *broken) {
				sorry(t, b.n.right, "udp dport 4500")
				b.right = newGateway(t, b.n.right)
				b.right.start(peerText("left", identities("right", "left"), rightChildren("")...))
				calls(b, "")
			},
			left: []string{"192.0.2.2 answers IKE_SA_INIT, but not at UDP port 4500: IKE_AUTH was sent ", "let UDP port 4500 pass in both directions"},
		},
		"UDP port 4500 is dropped": {
			begin: func(t *testing.T, b *broken) {
				sorry(t, b.n.right, "udp dport 4500")
				answers(b, "encap = \"always\"\n")
				calls(b, "encap = \"always\"\n")
			},
			left:  []string{"192.0.2.2 answers IKE_SA_INIT, but not at UDP port 4500: IKE_AUTH was sent ", "let UDP port 4500 pass in both directions"},
			right: []string{"IKE_SA_INIT came once from the peer's address", "no IKE_AUTH followed", "let UDP port 4500 pass in both directions"},
		},
		"protocol 50 is dropped": {
			begin: func(t *testing.T, b *broken) {
				sorry(t, b.n.right, "meta l4proto esp")
				up(b, "encap = \"never\"\n")
				b.pings(t)
			},
			left: []string{"and received none, while the peer answers IKE: IP protocol 50 may be dropped on the way", `encap = "always"`},
		},
		"another secret": {
			begin: func(t *testing.T, b *broken) {
				b.right = newGateway(t, b.n.right)
				b.right.start(peerText("left", "remote = \"192.0.2.1\"\n"+strings.Replace(identities("right", "left"), psk, "something else entirely", 1), rightChildren("")...))
				calls(b, "")
			},
			left:  []string{"left.example.com", "right.example.com"},
			right: []string{"left.example.com", "pre-shared key"},
		},
		"another identity": {
			begin: func(t *testing.T, b *broken) {
				answers(b, "")
				b.left.start(peerText("right", strings.Replace(to("192.0.2.2"), "left.example.com", "lift.example.com", 1), leftChildren(boot)...))
			},
			left:  []string{"lift.example.com"},
			right: []string{"lift.example.com", "left.example.com"},
		},
		"no common IKE proposal": {
			begin: func(_ *testing.T, b *broken) {
				answers(b, "ike_proposals = [\"aes128gcm16-prfsha256-ecp256\"]\n")
				calls(b, "ike_proposals = [\"aes256gcm16-prfsha384-x25519\"]\n")
			},
			left:  []string{"NO_PROPOSAL_CHOSEN", "ours: aes256gcm16-prfsha384-x25519"},
			right: []string{"aes128gcm16", "aes256gcm16"},
		},
		"only PFS differs": {
			begin: func(_ *testing.T, b *broken) {
				b.right = newGateway(b.left.t, b.n.right)
				b.right.start(peerText("left", "remote = \"192.0.2.1\"\nchildless = \"never\"\n"+identities("right", "left"), rightChildren("  proposals = [\"aes128gcm16-x25519\"]\n")...))
				b.left.start(peerText("right", to("192.0.2.2"), leftChildren("  proposals = [\"aes128gcm16\"]\n"+boot)...))
				b.left.waitUp("right")
				b.left.do("up", "right")
				ctx, cancel := context.WithTimeout(b.left.t.Context(), namedWithin)
				defer cancel()
				_, _ = b.left.try(ctx, "rekey", "right/v4")
			},
			left: []string{"PFS"},
		},
		"no common network": {
			begin: func(t *testing.T, b *broken) {
				b.right = newGateway(t, b.n.right)
				b.right.start(peerText("left", "remote = \"192.0.2.1\"\n"+identities("right", "left"), childText("v4", "10.22.0.0/16", "10.11.0.0/16", "")))
				b.left.start(peerText("right", to("192.0.2.2"), childText("v4", "10.1.0.0/16", "10.2.0.0/16", boot)))
			},
			left:  []string{"TS_UNACCEPTABLE", "ours: local 10.1.0.0/16, remote 10.2.0.0/16"},
			right: []string{"the peer's 10.1.0.0/16 has no partner in our remote 10.11.0.0/16", "ours: local 10.22.0.0/16, remote 10.11.0.0/16", "theirs: local 10.2.0.0/16"},
		},
		"both wait": {
			begin: func(t *testing.T, b *broken) {
				b.left.start(peerText("right", identities("left", "right"), leftChildren("")...))
				b.right = newGateway(t, b.n.right)
				b.right.start(peerText("left", identities("right", "left"), rightChildren("")...))
			},
			left:  []string{"neither side calls", "give remote on one side at least"},
			right: []string{"neither side calls", "give remote on one side at least"},
		},
		"the peer is dead": {
			begin: func(t *testing.T, b *broken) {
				up(b, "")
				b.pings(t)
				sorry(t, b.n.right, "meta l4proto { udp, esp }")
			},
			left: []string{"in doubt: ", "and nothing of IKE either for "},
		},
		"a firewall of this host": {
			begin: func(t *testing.T, b *broken) {
				up(b, "")
				ok(t, b.n.left.Block("meta l4proto { udp, esp }"))
				b.pings(t)
			},
			left: []string{"a firewall of this host refuses what is sent (EPERM)", "allow UDP 500 and 4500 and IP protocol 50 to 192.0.2.2"},
		},
		"another source": {
			begin: func(t *testing.T, b *broken) {
				up(b, "")
				ok(t, b.n.left.NFT("add table inet other", "add chain inet other post { type nat hook postrouting priority 100; }",
					"add rule inet other post oifname culvert0 ip daddr 10.2.0.0/16 snat to 192.0.2.1"))
				b.pings(t)
			},
			left: []string{"v4: packets to its networks are dropped, as their source is not in its local networks: 192.0.2.1 to " + rightLAN4.String() + ", icmp", "masquerading"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := build(t, c.top)
			b := &broken{n: n, left: newGateway(t, n.left)}
			c.begin(t, b)
			limit := namedWithin
			if c.limit > 0 {
				limit = c.limit
			}
			if c.left != nil {
				b.left.wantNamed(t, "right", limit, c.left...)
			}
			if c.right != nil {
				b.right.wantNamed(t, "left", limit, c.right...)
			}
		})
	}
}

// TestSmallPathIsNamed: a narrow link in the middle of the path, and ICMP filtered.
func TestSmallPathIsNamed(t *testing.T) {
	t.Parallel()
	n := buildNarrow(t, 1300, true)
	left, _ := n.twoSites(t, false, "", "")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	begun := time.Now()
	_, err := netlab.Transfer(ctx, n.client, clientLAN[false], n.server, serverLAN[false], 1<<20)
	ok(t, err)
	left.wantNamed(t, "right", pathNamedWithin-time.Since(begun), "the path takes packets of 1300 octets, and this host's link 1500: packets inside have up to ")
}
