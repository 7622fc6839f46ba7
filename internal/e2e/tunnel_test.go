//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"
)

// pair starts left, which initiates to remote, and right, which responds, and waits until the
// tunnel is up.
func pair(t *testing.T, n *network, remote, keys string) (left, right *gateway) {
	t.Helper()
	left, right = newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left")+keys, rightChildren("")...))
	left.start(peerText("right", "remote = \""+remote+"\"\n"+identities("left", "right")+keys, leftChildren(boot)...))
	left.waitUp("right")
	right.waitUp("left")
	return left, right
}

func TestTunnel(t *testing.T) {
	tests := []struct {
		name, remote, keys, encap, nat string
		top                            topology
	}{
		{name: "the default over IPv4", remote: "192.0.2.2", encap: "udp", nat: "none"},
		{name: "the default over IPv6", remote: "2001:db8::2", encap: "udp", nat: "none"},
		{name: "protocol 50 over IPv4", remote: "192.0.2.2", keys: protocol50, encap: "esp", nat: "none"},
		{name: "protocol 50 over IPv6", remote: "2001:db8::2", keys: protocol50, encap: "esp", nat: "none"},
		{name: "forced UDP over IPv4", remote: "192.0.2.2", keys: "encap = \"always\"\n", encap: "udp"},
		{name: "forced UDP over IPv6", remote: "2001:db8::2", keys: "encap = \"always\"\n", encap: "udp"},
		{name: "NAT over IPv4", remote: "192.0.2.2", encap: "udp", nat: "local", top: topology{nat: true}},
		{name: "NAT over IPv6", remote: "2001:db8::2", encap: "udp", nat: "local", top: topology{nat: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, tt.top)
			left, right := pair(t, n, tt.remote, tt.keys)
			n.wantTraffic(t, 4<<20)
			for _, c := range append(left.peer("right").Children, right.peer("left").Children...) {
				if c.Encap != tt.encap {
					t.Errorf("child %s: encap %q, want %q", c.Name, c.Encap, tt.encap)
				}
				if c.PacketsIn == 0 || c.PacketsOut == 0 {
					t.Errorf("child %s: %d packets in, %d out", c.Name, c.PacketsIn, c.PacketsOut)
				}
			}
			if tt.nat != "" && left.peer("right").NAT != tt.nat {
				t.Errorf("left says NAT %q, want %q", left.peer("right").NAT, tt.nat)
			}
			if esp := n.leaks.esp.Load(); (esp > 0) != (tt.encap == "esp") {
				t.Errorf("%d protocol 50 packets seen with encap %q", esp, tt.encap)
			}
			for _, g := range []*gateway{left, right} { // the guard is in force, and passes all packets of the tunnel
				if refused := g.status().Counters["net_send_refused"]; refused != 0 {
					t.Errorf("%s: a firewall refused %d datagrams", g.host.Name, refused)
				}
			}
			left.stop()
			right.wait(5*time.Second, "right to drop the SAs that left deleted", "left", func(p peerStatus) bool { return p.State == "down" })
			right.stop()
		})
	}
}

func TestFirstPacketIsKept(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren("")...))
	if s := left.child("right", "v4").State; s != "waiting" {
		t.Errorf("child state is %q before any traffic, want waiting", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	rtt, err := n.left.Ping(ctx, leftLAN4, rightLAN4, 56) // a single request, which triggers the negotiation
	ok(t, err)
	t.Logf("first packet through after %v", rtt)
	if s := left.child("right", "v6").State; s != "waiting" {
		t.Errorf("child v6 is %q though only IPv4 traffic came, want waiting", s)
	}
	_, err = n.right.Ping(ctx, rightLAN6, leftLAN6, 56) // the responder may start a child as well
	ok(t, err)
}

func TestPeerInsideItsOwnRemoteNetwork(t *testing.T) {
	for _, tt := range []struct{ name, local, remote, to string }{
		{"the peer's network", "10.1.0.0/24", "192.0.2.0/24", "192.0.2.2"},
		{"everything", "10.1.0.0/24", "0.0.0.0/0", "10.2.0.1"}, // the outer link's network is outside
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			right.start(peerText("left", identities("right", "left"), childText("all", tt.remote, tt.local, "")))
			left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), childText("all", tt.local, tt.remote, boot)))
			left.waitUp("right")
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			_, err := n.left.Ping(ctx, leftLAN4, addr(tt.to), 56)
			ok(t, err)
			if c := left.child("right", "all"); c.PacketsOut == 0 || c.PacketsIn == 0 {
				t.Errorf("the ping did not go through the tunnel: %+v", c)
			}
			// The host's own traffic outside the policy is not affected.
			_, err = n.left.Ping(ctx, addr("192.0.2.1"), addr("192.0.2.2"), 56)
			ok(t, err)
			left.do("rekey", "right") // IKE gets through too
		})
	}
}
