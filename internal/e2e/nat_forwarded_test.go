//go:build linux

package e2e

import (
	"testing"
	"time"

	"culvert/internal/netlab"
)

// forwarded and forwarded6 are the public addresses of right behind its NAT.
const forwarded, forwarded6 = "198.51.100.1", "2001:db8:f::1"

// forwardRight puts right behind a NAT with a fixed mapping, as the machine of a cloud is: its
// address becomes another one, in both directions.
func (n *network) forwardRight(t *testing.T) {
	t.Helper()
	ok(t, n.nat.NFT(
		"add table inet cloud",
		"add chain inet cloud pre { type nat hook prerouting priority -100; }",
		"add rule inet cloud pre ip daddr "+forwarded+" udp dport { 500, 4500 } dnat ip to 192.0.2.2",
		"add rule inet cloud pre ip6 daddr "+forwarded6+" udp dport { 500, 4500 } dnat ip6 to 2001:db8::2",
		"add chain inet cloud post { type nat hook postrouting priority 90; }",
		"add rule inet cloud post oifname in ip saddr 192.0.2.2 snat ip to "+forwarded,
		"add rule inet cloud post oifname in ip6 saddr 2001:db8::2 meta l4proto udp snat ip6 to "+forwarded6))
}

// forwardLeft has left's NAT forward the ports of IKE to it.
func (n *network) forwardLeft(t *testing.T) {
	t.Helper()
	ok(t, n.nat.NFT(
		"add table inet ports",
		"add chain inet ports pre { type nat hook prerouting priority -100; }",
		"add rule inet ports pre iifname out ip daddr 192.0.2.1 udp dport { 500, 4500 } dnat ip to 10.98.0.2",
		"add rule inet ports pre iifname out ip6 daddr 2001:db8::1 udp dport { 500, 4500 } dnat ip6 to fd98::2"))
}

// TestNATForgetsWithBothBehindNATs has both ends behind NATs, so that right follows left to its new
// mapping only after it has asked there.
func TestNATForgetsWithBothBehindNATs(t *testing.T) {
	n := build(t, topology{nat: true})
	n.forwardRight(t)
	left, right := pair(t, n, forwarded, "")
	n.wantPing(t, 10*time.Second)
	for name, nat := range map[string]string{"left": left.peer("right").NAT, "right": right.peer("left").NAT} {
		if nat != "both" {
			t.Fatalf("%s says NAT %q", name, nat)
		}
	}
	for range 3 {
		before := right.peer("left").Remote
		n.wantForgotten(t, left, 0, time.Second)
		if now := right.peer("left").Remote; now == before {
			t.Errorf("right still sends to %s", before)
		}
	}
	if right.status().Counters["ike_path_checked"] == 0 {
		t.Error("right followed without a question")
	}
	wantNeverDown(t, left, right)
}

// wantForgotten has the NAT forget its mappings after some time of traffic: the IKE SA stays, and
// traffic stops only for a while.
func (n *network) wantForgotten(t *testing.T, left *gateway, usual, most time.Duration) {
	t.Helper()
	spi := left.peer("right").SPIi
	end := n.silence(t)
	time.Sleep(usual)
	ok(t, n.nat.ForgetMappings())
	time.Sleep(most + time.Second) // the traffic meanwhile is measured
	longest := end()
	t.Logf("nothing came for %v", longest)
	if longest > most {
		t.Errorf("nothing came for %v, want %v at most", longest, most)
	}
	if p := left.peer("right"); p.SPIi != spi || p.State != "established" {
		t.Errorf("the IKE SA is another one: %+v", p)
	}
}

// TestNATForgetsBesideStrongSwan is the same with strongSwan at right, which follows an IKE message
// from the new mapping, but no ESP. Left sends one when nothing has answered its traffic for a
// second and a half, where it was answered before, and whatever dpd says.
func TestNATForgetsBesideStrongSwan(t *testing.T) {
	n := build(t, topology{nat: true})
	n.forwardRight(t)
	n.swan(t, nil)
	ok(t, n.right.Block("oifname wan ip saddr 10.2.0.0/16")) // strongSwan sends in the clear between two SAs
	left := leftAt(t, n, forwarded, "", boot)
	left.waitUp("right")
	n.wantPing(t, 10*time.Second)
	n.wantForgotten(t, left, 4*time.Second, 3*time.Second)
}

// TestNATOfStrongSwanForgets has strongSwan connect from behind the NAT that forgets. Right follows
// its ESP after a question that is sent to the new mapping.
func TestNATOfStrongSwanForgets(t *testing.T) {
	n := build(t, topology{nat: true})
	n.forwardRight(t)
	right := newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), rightChildren("")[0]))
	s := startSwan(t, n.left, func(c *netlab.SwanConfig) {
		c.RemoteAddr, c.LocalID, c.RemoteID = forwarded, "left.example.com", "right.example.com"
		c.Children = map[string][2]string{"v4": {"10.1.0.0/24", "10.2.0.0/24"}}
	})
	ok(t, n.left.Block("oifname wan ip saddr 10.1.0.0/16")) // strongSwan sends in the clear between two SAs
	ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
	right.waitUp("left")
	if nat := right.peer("left").NAT; nat != "both" {
		t.Fatalf("right says NAT %q", nat)
	}
	n.wantPing(t, 10*time.Second)
	spi := right.peer("left").SPIi
	for range 3 {
		n.wantFollowed(t, right)
	}
	if p := right.peer("left"); p.SPIi != spi || p.State != "established" {
		t.Errorf("the IKE SA is another one: %+v", p)
	}
	wantNeverDown(t, right)
}

// wantFollowed has the NAT forget its mappings under 200 packets/s each way: nothing of what left
// sends is lost, and of what right sends only what was under way to the old mapping.
func (n *network) wantFollowed(t *testing.T, right *gateway) {
	t.Helper()
	out, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 200, 200)
	ok(t, err)
	back, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 200, 200)
	ok(t, err)
	wantFlow(t, "at first", out, back)
	before := right.peer("left").Remote
	ok(t, n.nat.ForgetMappings())
	right.wait(5*time.Second, "right to follow the new mapping", "left", func(p peerStatus) bool { return p.Remote != before })
	wantFlow(t, "afterwards", out, back)
	if lost := out.Stop(3 * time.Second); lost > 0 {
		t.Errorf("%d of %d datagrams of left are lost", lost, out.Sent.Load())
	}
	lost, most := back.Stop(3*time.Second), uint64(200*mostSilence/time.Second)
	t.Logf("%d of %d datagrams of right are lost", lost, back.Sent.Load())
	if lost > most {
		t.Errorf("%d of %d datagrams of right are lost, want at most %d", lost, back.Sent.Load(), most)
	}
}

// A swanPath is how culvert at left and strongSwan at right reach each other.
type swanPath struct {
	name        string
	left, right bool // it is behind a NAT
	outer       outer
	top         topology // without the NATs
}

var swanPaths = []swanPath{
	{name: "direct", outer: outer4}, {name: "culvert behind a NAT", left: true, outer: outer4}, {name: "strongSwan behind a NAT", right: true, outer: outer4},
	{name: "both behind NATs", left: true, right: true, outer: outer4}, {name: "direct over IPv6", outer: outer6},
}

// build makes the network, in which the given side connects. It returns the address at which each
// side is reached.
func (p swanPath) build(t *testing.T, connects string) (n *network, left, right string) {
	t.Helper()
	if !p.left && !p.right {
		return build(t, p.top), p.outer.left, p.outer.right
	}
	p.top.nat = true
	n = build(t, p.top)
	left, right = p.outer.left, p.outer.right
	switch {
	case !p.left:
		left = "10.98.0.2"
		if p.outer == outer6 {
			left = "fd98::2"
		}
		ok(t, n.nat.NFT("delete table inet nat"))
	case connects == "strongSwan":
		n.forwardLeft(t)
	}
	if p.right {
		right = forwarded
		if p.outer == outer6 {
			right = forwarded6
		}
		n.forwardRight(t)
	}
	return n, left, right
}

// wantNAT checks that left sees the path as its name says: strongSwan, which has UDP encapsulation
// only, always claims to be behind a NAT.
func (p swanPath) wantNAT(t *testing.T, left *gateway) {
	t.Helper()
	want := "remote"
	if p.left {
		want = "both"
	}
	if got := left.peer("right").NAT; got != want {
		t.Errorf("left says NAT %q, want %q", got, want)
	}
}

// leftAt starts culvert at left as the peer of strongSwan at an address.
func leftAt(t *testing.T, n *network, remote, keys, childKeys string) *gateway {
	t.Helper()
	left := newGateway(t, n.left)
	left.start(peerText("right", "remote = \""+remote+"\"\n"+identities("left", "right")+keys, swanChildKeys+childKeys))
	return left
}
