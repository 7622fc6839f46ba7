//go:build linux

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// encapCases are the outer families.
var encapCases = map[string]string{"IPv4": "192.0.2.2", "IPv6": "2001:db8::2"}

// block has both gateways drop what they send that matches an nft expression.
func (n *network) block(t *testing.T, expr string) {
	t.Helper()
	ok(t, n.left.Block(expr), n.right.Block(expr))
}

func (n *network) unblock(t *testing.T) {
	t.Helper()
	ok(t, n.left.Unblock(), n.right.Unblock())
}

const (
	natPort  = "udp dport 4500"
	proto50  = "meta l4proto esp"
	espInUDP = "udp dport 4500 @th,64,32 != 0" // without the non-ESP marker (RFC 3948, Section 2.2)
)

// waitEncap waits until both gateways send ESP so, and returns how long it took.
func waitEncap(t *testing.T, left, right *gateway, encap string, limit time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	is := func(p peerStatus) bool {
		for _, c := range p.Children {
			if c.State != "installed" || c.Encap != encap {
				return false
			}
		}
		return true
	}
	left.wait(limit, "encap "+encap, "right", is)
	right.wait(limit, "encap "+encap, "left", is)
	return time.Since(begun)
}

// TestNATPortBlocked: where UDP port 4500 is dropped, two culverts come up with protocol 50 within
// five seconds.
func TestNATPortBlocked(t *testing.T) {
	for name, remote := range encapCases {
		t.Run(name, func(t *testing.T) {
			n := build(t, topology{})
			n.block(t, natPort)
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			right.start(peerText("left", identities("right", "left"), rightChildren("")...))
			left.start(peerText("right", "remote = \""+remote+"\"\n"+identities("left", "right"), leftChildren(boot)...))
			took := waitEncap(t, left, right, "esp", 10*time.Second)
			t.Logf("protocol 50 after %v", took)
			if took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			n.wantTraffic(t, 1<<18)
			if why := left.child("right", "v4").EncapWhy; why != "UDP port 4500 did not answer" {
				t.Errorf("the reason is %q", why)
			}
		})
	}
}

// TestProtocol50Blocked: while the NAT port is dropped protocol 50 is used; when that is dropped
// in its place, UDP is used after seconds of traffic, with a line in the log. A NAT port that is
// dropped under a tunnel leads back to protocol 50. The IKE SA stays.
func TestProtocol50Blocked(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	n.block(t, natPort)
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...))
	waitEncap(t, left, right, "esp", 10*time.Second)
	n.wantTraffic(t, 1<<16)
	spi := left.peer("right").SPIi

	n.unblock(t)
	n.block(t, proto50)
	_, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 50, 100)
	ok(t, err)
	t.Logf("UDP after %v", waitEncap(t, left, right, "udp", 20*time.Second))
	n.wantTraffic(t, 1<<16)
	if !strings.Contains(left.proc.Output()+right.proc.Output(), "protocol 50 does not arrive, while the peer answers IKE") {
		t.Error("nobody says that protocol 50 does not arrive")
	}

	n.unblock(t)
	n.block(t, natPort)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	begun := time.Now()
	_, err = n.left.PingUntil(ctx, leftLAN4, rightLAN4, 100*time.Millisecond)
	ok(t, err)
	t.Logf("protocol 50 again after %v", time.Since(begun))
	waitEncap(t, left, right, "esp", 5*time.Second)
	n.wantTraffic(t, 1<<16)
	if now := left.peer("right").SPIi; now != spi {
		t.Errorf("the IKE SA is another one")
	}
}
