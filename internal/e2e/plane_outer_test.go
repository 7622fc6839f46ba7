//go:build linux

package e2e

import (
	"fmt"
	"testing"

	"culvert/internal/netlab"
)

// outerFlow is a flow with the gateways' own addresses.
func outerFlow(a, b string) flow {
	f := flowOf(a, b)
	f.outer = true
	return f
}

// networksText returns a child with lists of networks.
func networksText(name string, local, remote []string, more string) string {
	return fmt.Sprintf("  [[peer.child]]\n  name = %q\n  local = %s\n  remote = %s\n%s\n", name, list(local), list(remote), more)
}

// list returns a TOML list of strings.
func list(l []string) string {
	s := "["
	for _, e := range l {
		s += fmt.Sprintf("%q,", e)
	}
	return s + "]"
}

// An outerCase has gateways' own addresses in the selectors.
type outerCase struct {
	name        string
	left, right []string
	src, dst    string // a flow of the policy
	flows       []flow
}

// TestOuterAddressesInSelectors has the gateways' own addresses in the selectors, with strict
// reverse-path filtering, which drops a packet from another device than the one towards its source:
// as neighbours, and with a router in between.
func TestOuterAddressesInSelectors(t *testing.T) {
	t.Parallel()
	for _, tt := range []outerCase{
		{"host to host", []string{"192.0.2.1/32"}, []string{"192.0.2.2/32"}, "192.0.2.1", "192.0.2.2", []flow{outerFlow("192.0.2.1/32", "192.0.2.2/32")}},
		{"host to host over IPv6", []string{"2001:db8::1/128"}, []string{"2001:db8::2/128"}, "2001:db8::1", "2001:db8::2", []flow{outerFlow("2001:db8::1/128", "2001:db8::2/128")}},
		{"host to all", []string{"192.0.2.1/32"}, []string{"0.0.0.0/0"}, "192.0.2.1", "10.2.0.1", []flow{outerFlow("192.0.2.1/32", "0.0.0.0/0")}},
		{"gateway with its own address", []string{"10.1.0.0/24", "192.0.2.1/32"}, []string{"10.2.0.0/24", "192.0.2.2/32"}, "192.0.2.1", "10.2.0.1",
			[]flow{outerFlow("192.0.2.1/32", "192.0.2.2/32"), flowOf("10.1.0.0/24", "0.0.0.0/0"), flowOf("10.2.0.0/24", "0.0.0.0/0")}},
	} {
		for encap, keys := range map[string]string{"protocol 50": protocol50, "UDP": "encap = \"always\"\n"} {
			t.Run(tt.name+", "+encap, func(t *testing.T) {
				n := build(t, topology{flows: tt.flows})
				remote := "192.0.2.2"
				if addr(tt.src).Is6() {
					remote = "2001:db8::2"
				}
				tt.wantTunnel(t, n.left, n.right, remote, keys)
				if len(tt.left) > 1 {
					wantPing(t, n.left, leftLAN4, addr("192.0.2.2"))
					wantPing(t, n.left, addr("192.0.2.1"), addr("192.0.2.2"))
				}
			})
		}
	}
	for _, tt := range []outerCase{
		{"host to host behind a router", []string{hubWAN + "/32"}, []string{aWAN + "/32"}, hubWAN, aWAN, []flow{outerFlow(hubWAN+"/32", aWAN+"/32")}},
		{"host to all behind a router", []string{hubWAN + "/32"}, []string{"0.0.0.0/0"}, hubWAN, "10.2.0.1", []flow{outerFlow(hubWAN+"/32", aWAN+"/32"), flowOf(hubWAN+"/32", "10.2.0.0/24")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := buildStar(t, tt.flows)
			ok(t, s.hub.LAN("lan", "10.1.0.1/24"), s.a.LAN("lan", "10.2.0.1/24"))
			tt.wantTunnel(t, s.hub, s.a, aWAN, "")
		})
	}
}

// wantTunnel checks that a tunnel carries the flow, and that its IKE still works.
func (tt outerCase) wantTunnel(t *testing.T, atLeft, atRight *netlab.Host, remote, keys string) {
	t.Helper()
	for _, h := range []*netlab.Host{atLeft, atRight} {
		for _, dev := range []string{"all", "default", "wan", "lan"} {
			ok(t, h.Sysctl("ipv4/conf/"+dev+"/rp_filter", "1"))
		}
	}
	left, right := newGateway(t, atLeft), newGateway(t, atRight)
	right.start(peerText("left", identities("right", "left")+keys, networksText("all", tt.right, tt.left, "")))
	left.start(peerText("right", "remote = \""+remote+"\"\n"+identities("left", "right")+keys, networksText("all", tt.left, tt.right, boot)))
	left.waitUp("right")
	wantPing(t, atLeft, addr(tt.src), addr(tt.dst))
	wantPing(t, atRight, addr(tt.dst), addr(tt.src))
	if c := left.child("right", "all"); c.PacketsIn == 0 || c.PacketsOut == 0 {
		t.Errorf("the pings did not go through the tunnel: %+v", c)
	}
	left.do("rekey", "right") // IKE between the same addresses goes on
	left.do("rekey", "right/all")
	wantPing(t, atLeft, addr(tt.src), addr(tt.dst))
}
