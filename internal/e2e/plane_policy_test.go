//go:build linux

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// TestNothingLeaksWithEverythingLocal has a gateway whose local networks are all addresses, and
// whose rules the kernel returns without a source. It makes the daemon compare them repeatedly.
func TestNothingLeaksWithEverythingLocal(t *testing.T) {
	t.Parallel()
	n := build(t, topology{client: true, flows: []flow{flowOf("10.1.0.0/24", "0.0.0.0/0"), flowOf("fd01::/64", "::/0")}})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), childText("v4", "0.0.0.0/0", "10.1.0.0/24", ""), childText("v6", "::/0", "fd01::/64", "")))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), childText("v4", "10.1.0.0/24", "0.0.0.0/0", boot), childText("v6", "fd01::/64", "::/0", boot)))
	left.waitUp("right")
	tr := n.traffic(t)
	tr.wantFlow("at first")
	before := [2][]string{right.rulesOf("-4"), right.rulesOf("-6")}
	for i := range 10 {
		for _, a := range []string{"198.51.100.7/32", "2001:db8:7::7/128"} {
			ip(t, n.right, "address", []string{"add", "del"}[i%2], a, "dev", "lanx")
		}
		right.do("reload")
		tr.wantFlow("after an address event and a reload")
		n.leaks.wantNone(t, "after an address event and a reload")
	}
	for i, family := range families {
		right.wantBack(t, family+" rules", func() []string { return right.rulesOf(family) }, before[i])
	}
	left.stop()
}

// TestReloadOfALargerPolicyLeavesOthersAlone adds, by a reload, a child with a part of another's
// local network and every remote one: packets in the first child and not in the second still go
// elsewhere.
func TestReloadOfALargerPolicyLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	n := build(t, topology{client: true, flows: []flow{flowOf("10.1.0.0/24", "10.2.0.0/24"), flowOf("10.1.5.0/24", "0.0.0.0/0"), flowOf("fd01::/64", "fd02::/64"), flowOf("fd01:0:0:5::/64", "::/0")}})
	ok(t, n.left.LAN("five", "10.1.5.1/24", "fd01:0:0:5::1/64"))
	atRight := func(more ...string) string {
		return peerText("left", identities("right", "left"), append([]string{childText("v4", "10.2.0.0/24", "10.1.0.0/24", ""), childText("v6", "fd02::/64", "fd01::/64", "")}, more...)...)
	}
	atLeft := func(more ...string) string {
		return peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"),
			append([]string{childText("v4", "10.1.0.0/24", "10.2.0.0/24", boot), childText("v6", "fd01::/64", "fd02::/64", boot)}, more...)...)
	}
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(atRight())
	left.start(atLeft())
	left.waitUp("right")
	all := func(host string) {
		t.Helper()
		for _, p := range [][2]string{{"10.1.0.1", "10.2.0.1"}, {"10.1.0.1", "192.0.2.2"}, {"fd01::1", "fd02::1"}, {"fd01::1", "2001:db8::2"}} {
			wantPing(t, n.left, addr(p[0]), addr(p[1]))
		}
		for _, p := range [][2]string{{"10.1.0.9", "10.2.0.1"}, {"10.1.0.9", "192.0.2.2"}, {"fd01::9", "fd02::1"}, {"fd01::9", "2001:db8::2"}} {
			wantPing(t, n.client, addr(p[0]), addr(p[1]))
		}
		n.leaks.wantNone(t, host)
	}
	all("before the reload")
	right.write(atRight(childText("five4", "0.0.0.0/0", "10.1.5.0/24", ""), childText("five6", "::/0", "fd01:0:0:5::/64", "")))
	right.do("reload")
	left.write(atLeft(childText("five4", "10.1.5.0/24", "0.0.0.0/0", boot), childText("five6", "fd01:0:0:5::/64", "::/0", boot)))
	left.do("reload")
	left.waitUp("right")
	all("after the reload")
	wantPing(t, n.left, addr("10.1.5.1"), addr("10.2.0.1"))
	wantPing(t, n.left, addr("fd01:0:0:5::1"), addr("fd02::1"))
	if c := left.child("right", "five4"); c.PacketsOut == 0 {
		t.Errorf("nothing went by the new child: %+v", c)
	}
	left.stop()
	right.stop()
}

// TestWithoutIPv6 turns IPv6 off under a policy of both families: IPv4 works, and one warning names
// the sysctl.
func TestWithoutIPv6(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	ok(t, n.left.Sysctl("ipv6/conf/all/disable_ipv6", "1"), n.left.Sysctl("ipv6/conf/default/disable_ipv6", "1"))
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...))
	left.waitUp("right")
	n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
	var warnings []string
	for l := range strings.Lines(left.proc.Output()) {
		if strings.Contains(l, "disable_ipv6") {
			warnings = append(warnings, l)
		}
	}
	if len(warnings) != 1 {
		t.Errorf("%d lines name the sysctl: %q", len(warnings), warnings)
	}
	left.stop()
	right.stop()
}

// TestMarksOfOthers has the rules of Kubernetes, which drop packets with one bit in their mark and
// translate those with another. For a mark with the first bit, the log explains the refused send.
func TestMarksOfOthers(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	ok(t, n.left.NFT(
		"add table inet kube",
		"add chain inet kube out { type filter hook output priority 0; }",
		"add chain inet kube post { type nat hook postrouting priority 100; }",
		"add rule inet kube out meta mark & 0x8000 == 0x8000 drop",
		"add rule inet kube post meta mark & 0x4000 == 0x4000 meta l4proto { tcp, udp } masquerade fully-random",
		"add rule inet kube post meta mark & 0x4000 == 0x4000 masquerade"))
	left, right := pair(t, n, "192.0.2.2", "")
	n.wantTraffic(t, 1<<16)
	if nat := left.peer("right").NAT; nat != "none" {
		t.Errorf("NAT %q, want none", nat)
	}
	left.stop()
	left.daemon = "mark = \"0x8000/0xc000\"\n"
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...))
	const words = "a firewall of this host drops what culvert sends"
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ok(t, netlab.Until(ctx, "the log to say it", func() bool { return strings.Contains(left.proc.Output(), words) }))
	left.stop()
	right.stop()
}
