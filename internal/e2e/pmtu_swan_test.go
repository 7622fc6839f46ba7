//go:build linux

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// swanSite starts strongSwan at right and culvert at left, and waits until the tunnel is up. suite
// is the IKE proposal of both; empty: their defaults.
func (n *narrow) swanSite(t *testing.T, v6 bool, suite, keys string) (*gateway, *netlab.Swan) {
	t.Helper()
	s := startSwan(t, n.right, func(c *netlab.SwanConfig) { c.IKE = suite })
	left := newGateway(t, n.left)
	keys += identities("left", "right")
	if suite != "" {
		keys += fmt.Sprintf("ike_proposals = [%q]\n", suite)
	}
	left.start(peerText("right", fmt.Sprintf("remote = %q\n", farWAN[v6])+keys, swanChildKeys+boot))
	left.waitUp("right")
	return left, s
}

// wantOneIKESA rekeys the IKE SA and the Child SA, to show that the message window still works.
func wantOneIKESA(t *testing.T, left *gateway, s *netlab.Swan) {
	t.Helper()
	left.do("rekey", "right/v4")
	left.do("rekey", "right")
	if out := ctl(t, s, "--list-sas"); strings.Count(out, "ESTABLISHED") != 1 {
		t.Errorf("strongSwan has:\n%s", out)
	}
}

// TestBlackHoleToStrongSwan: a black hole towards a peer without culvert's probes in ESP. Padded
// IKE messages, which every peer answers, find the path MTU.
func TestBlackHoleToStrongSwan(t *testing.T) {
	for _, tt := range []struct {
		name, suite string // strongSwan takes a # in a directory's name for a comment
		v6          bool
	}{{"IPv4, AES-GCM", "", false}, {"IPv6, AES-CBC", "aes256-sha256-x25519", true}} {
		t.Run(tt.name, func(t *testing.T) {
			n := buildNarrow(t, 1400, true)
			left, s := n.swanSite(t, tt.v6, tt.suite, "")
			// The path MTU is known after about seven seconds, or after twenty where the first
			// round of questions led to nothing; TCP's next try may take as long.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := netlab.Transfer(ctx, n.left, leftLAN4, n.right, rightLAN4, 1<<20)
			ok(t, err)
			_, err = netlab.Transfer(ctx, n.right, rightLAN4, n.left, leftLAN4, 1<<20)
			ok(t, err)
			most := innerOf(1400, tt.v6, !tt.v6)
			left.wait(30*time.Second, "the search to end", "right", func(p peerStatus) bool {
				return p.Children[0].MTU >= most-16 && p.Children[0].MTU <= most
			})
			if c := left.status().Counters; c["pmtu_ike_probes"] > 12 || c["ike_path_probes"] == 0 || c["pmtu_black_holes"] == 0 || c["pmtu_icmp"] != 0 {
				t.Errorf("%d questions, %d large probes, black holes %d, ICMP believed %d", c["pmtu_ike_probes"], c["ike_path_probes"], c["pmtu_black_holes"], c["pmtu_icmp"])
			}
			wantOneIKESA(t, left, s)
		})
	}
}

// TestPathWithoutFragments: a path that is a black hole and drops all IP fragments. No large IKE
// message is sent, because it could never complete, and the tunnel stays up.
func TestPathWithoutFragments(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%t", v6), func(t *testing.T) {
			t.Parallel()
			n := buildNarrow(t, 1400, true)
			ok(t, n.near.Block("ip frag-off & 0x3fff != 0"), n.near.Block("exthdr frag exists"))
			left, s := n.swanSite(t, v6, "", "dpd = \"2s\"\n")
			spi := left.peer("right").SPIi
			left.wait(40*time.Second, "IKE to be asked after the first answer", "right", func(peerStatus) bool {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := netlab.Transfer(ctx, n.left, leftLAN4, n.right, rightLAN4, 100)
				ok(t, err)
				return left.status().Counters["pmtu_ike_probes"] >= 2
			})
			if now := left.peer("right").SPIi; now != spi {
				t.Errorf("the IKE SA was %s and is %s", spi, now)
			}
			wantOneIKESA(t, left, s)
			if c := left.status().Counters; c["ike_path_probes"] != 0 || c["pmtu_ike_answers"] != 0 {
				t.Errorf("%d large probes, %d answered", c["ike_path_probes"], c["pmtu_ike_answers"])
			}
		})
	}
}
