//go:build linux

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestNegotiationFailures wants a clear reason on both sides.
func TestNegotiationFailures(t *testing.T) {
	for _, tt := range []struct {
		name              string
		leftKeys          string
		rightKeys         string
		leftChild         string
		rightChild        string
		leftSays          string
		rightSays         string
		rightHasNoPeer    bool
		explain           []string
		ikeStaysEstablish bool
	}{
		{name: "wrong PSK", rightKeys: strings.Replace(identities("right", "left"), psk, "something else", 1), leftKeys: identities("left", "right"),
			leftSays: "AUTHENTICATION_FAILED", rightSays: "pre-shared key"},
		{name: "no common IKE proposal", leftKeys: identities("left", "right") + "ike_proposals = [\"aes256gcm16-prfsha384-x25519\"]\n",
			rightKeys: identities("right", "left") + "ike_proposals = [\"aes128gcm16-prfsha256-ecp256\"]\n",
			leftSays:  "NO_PROPOSAL_CHOSEN", rightSays: "proposal", explain: []string{"aes256gcm16-prfsha384-x25519"}},
		{name: "no common ESP proposal", leftKeys: identities("left", "right"), rightKeys: identities("right", "left"),
			leftChild: "  proposals = [\"aes256gcm16\"]\n", rightChild: "  proposals = [\"chacha20poly1305\"]\n",
			leftSays: "NO_PROPOSAL_CHOSEN", rightSays: "proposal", explain: []string{"aes256gcm16"}, ikeStaysEstablish: true},
		{name: "selectors that do not meet", leftKeys: identities("left", "right"), rightKeys: identities("right", "left"),
			rightChild: "far", leftSays: "TS_UNACCEPTABLE", rightSays: "networks do not meet", explain: []string{"10.2.0.0/16"}, ikeStaysEstablish: true},
		{name: "unknown identity", leftKeys: strings.Replace(identities("left", "right"), "left.example.com", "stranger.example.com", 1), rightKeys: identities("right", "left"),
			leftSays: "AUTHENTICATION_FAILED", rightSays: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			rc := childText("v4", "10.2.0.0/16", "10.1.0.0/16", tt.rightChild)
			if tt.rightChild == "far" {
				rc = childText("v4", "10.22.0.0/16", "10.11.0.0/16", "")
			}
			right.start(peerText("left", tt.rightKeys, rc))
			left.start(peerText("right", "remote = \"192.0.2.2\"\n"+tt.leftKeys, childText("v4", "10.1.0.0/16", "10.2.0.0/16", tt.leftChild+boot)))
			says := func(want string) func(peerStatus) bool {
				return func(p peerStatus) bool {
					return strings.Contains(p.Reason+" "+p.Children[0].Reason, want) && p.Children[0].State != "installed" && p.Children[0].Reason != ""
				}
			}
			left.wait(20*time.Second, "left's reason to hold "+tt.leftSays, "right", says(tt.leftSays))
			right.wait(10*time.Second, "right to explain "+tt.rightSays, "left", func(p peerStatus) bool {
				return says("")(p) && strings.Contains(right.do("explain", "left"), tt.rightSays) // its caller may be a stranger
			})
			if tt.ikeStaysEstablish && left.peer("right").State != "established" {
				t.Errorf("the failed child took the IKE SA down: %+v", left.peer("right"))
			}
			out := left.do("explain", "right")
			for _, w := range tt.explain {
				if !strings.Contains(out, w) {
					t.Errorf("culvert explain does not name %q:\n%s", w, out)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			if out, err := left.try(ctx, "up", "right"); err == nil || !strings.Contains(out, tt.leftSays) {
				t.Errorf("culvert up says %q (%v), want a failure that names %s", out, err, tt.leftSays)
			}
			for _, g := range []*gateway{left, right} {
				if strings.Contains(g.proc.Output(), psk) {
					t.Errorf("the PSK is in the log of %s", g.host.Name)
				}
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	n := build(t, topology{})
	left := newGateway(t, n.left)
	left.start(peerText("right", "remote = \"192.0.2.77\"\n"+identities("left", "right"), leftChildren(boot)...))
	left.wait(10*time.Second, "a peer that is connecting", "right", func(p peerStatus) bool { return p.State == "connecting" && p.Reason != "" })
	left.stop()
}

// TestPeerKilledAndBack kills one side by SIGKILL: when it comes back, the other side replaces its
// tunnel without an operator.
func TestPeerKilledAndBack(t *testing.T) {
	for _, tt := range []struct {
		name       string
		killsRight bool
		top        topology
	}{
		{name: "the initiator is killed"},
		{name: "the initiator is killed behind a NAT", top: topology{nat: true}},
		{name: "the responder is killed", killsRight: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, tt.top)
			left, right := pair(t, n, "192.0.2.2", "dpd = \"1s\"\n")
			n.wantTraffic(t, 1<<16)
			victim, other, otherPeer := left, right, "left"
			if tt.killsRight {
				victim, other, otherPeer = right, left, "right"
			}
			old := other.peer(otherPeer).SPIi
			victim.proc.Kill()
			again, err := victim.host.Start(nil, nil, binary, "run", "--config", victim.config())
			ok(t, err)
			victim.proc = again
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			_, err = n.left.PingUntil(ctx, leftLAN4, rightLAN4, time.Second)
			ok(t, err)
			_, err = n.right.PingUntil(ctx, rightLAN4, leftLAN4, time.Second)
			ok(t, err)
			if p := other.peer(otherPeer); p.SPIi == old {
				t.Errorf("%s still shows the dead IKE SA %s", other.host.Name, old)
			}
			left.stop()
			right.stop()
		})
	}
}

// TestDeadPeerIsNoticed kills one side for good.
func TestDeadPeerIsNoticed(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\ndpd = \"1s\"\ndpd_action = \"clear\"\n"+identities("left", "right"), leftChildren(boot)...))
	left.waitUp("right")
	n.wantTraffic(t, 1<<16)
	right.proc.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	go n.left.PingUntil(ctx, leftLAN4, rightLAN4, 200*time.Millisecond) // liveness is checked only while packets are sent
	left.wait(110*time.Second, "left to find right dead", "right", func(p peerStatus) bool {
		return p.State == "down" && strings.Contains(p.Reason, "answer")
	})
}
