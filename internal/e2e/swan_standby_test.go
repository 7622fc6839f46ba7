//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// TestStandbyOfStrongSwan has a strongSwan as the preferred one of two gateways, and another one or
// a culvert beside it. It is killed and started again, or its ESP is dropped until an operator has
// it connect again, or until it is tried.
func TestStandbyOfStrongSwan(t *testing.T) {
	for _, tt := range []struct {
		name, standby string
		fail, mend    func(t *testing.T, a *swanGateway, hub *gateway)
	}{
		{"killed, beside strongSwan", "strongSwan",
			func(_ *testing.T, a *swanGateway, _ *gateway) { a.daemon.Kill() },
			func(t *testing.T, a *swanGateway, _ *gateway) { a.start(t) }},
		{"only ESP, beside culvert", "culvert",
			func(t *testing.T, a *swanGateway, _ *gateway) { a.dropESP(t) },
			func(t *testing.T, a *swanGateway, hub *gateway) {
				a.passESP(t)
				hub.do("down", "--once", "a")
				hub.do("up", "a")
			}},
		{"only ESP, and tried by copies", "culvert",
			func(t *testing.T, a *swanGateway, _ *gateway) { a.dropESP(t) },
			func(t *testing.T, a *swanGateway, hub *gateway) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				ok(t, netlab.Until(ctx, "a trial to begin", func() bool { return hub.status().Counters["out_copied"] > 0 }))
				a.passESP(t)
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &swanGateway{name: "a"}
			s, hub := redundant(t, wans4, func(name string, h *netlab.Host) {
				g := &swanGateway{name: name, host: h}
				switch {
				case name == "a":
					a.host = h
					a.start(t)
				case tt.standby == "strongSwan":
					g.start(t)
				default:
					startSpoke(t, name, h)
				}
			})
			s.takeOver(t, hub, func() { tt.fail(t, a, hub) }, func() { tt.mend(t, a, hub) })
		})
	}
}

// A swanGateway is a strongSwan that is one of the gateways of the network 10.2.0.0/24.
type swanGateway struct {
	name   string
	host   *netlab.Host
	daemon *netlab.Swan
}

// dropESP drops the ESP that the gateway receives and sends, which it has in UDP, in its own host.
func (g *swanGateway) dropESP(t *testing.T) {
	t.Helper()
	const noESP = " @th,64,32 != 0 drop" // RFC 3948, Section 2.2: 0 is IKE
	ok(t, g.host.NFT(
		"add table inet noesp",
		"add chain inet noesp received { type filter hook input priority 0; }",
		"add chain inet noesp sent { type filter hook output priority 0; }",
		"add rule inet noesp received udp dport 4500"+noESP,
		"add rule inet noesp sent udp sport 4500"+noESP))
}

func (g *swanGateway) passESP(t *testing.T) {
	t.Helper()
	ok(t, g.host.NFT("delete table inet noesp"))
}

func (g *swanGateway) start(t *testing.T) {
	t.Helper()
	g.daemon = startSwan(t, g.host, func(c *netlab.SwanConfig) {
		c.LocalID, c.RemoteID = g.name+".example.com", "hub.example.com"
		c.Children = map[string][2]string{"lan": {"10.2.0.0/24,fd02::/64", "10.1.0.0/24,fd01::/64"}}
	})
}
