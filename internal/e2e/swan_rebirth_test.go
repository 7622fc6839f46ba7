//go:build linux

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// TestCulvertRestartsBesideStrongSwan restarts culvert beside strongSwan, under traffic both ways.
// Where culvert has an address to connect to it does so, since it starts or a packet waits.
// Otherwise strongSwan has to find out: by its own check where culvert was killed, and by the
// deletion where it was stopped.
func TestCulvertRestartsBesideStrongSwan(t *testing.T) {
	const remote, traffic = "remote = \"192.0.2.2\"\n", "  start = \"traffic\"\n"
	within := func(d death, most time.Duration) death { d.most = most; return d }
	for _, tt := range []struct {
		name, keys, child string
		swan              func(*netlab.SwanConfig)
		death
	}{
		{name: "it connects at the start", keys: remote, child: boot + "\n", death: within(killed, 6*time.Second)},
		{name: "it connects for traffic", keys: remote, child: traffic, death: within(killed, 6*time.Second)},
		{name: "strongSwan checks each second", death: within(killed, 12*time.Second), swan: func(c *netlab.SwanConfig) {
			c.DPD, c.Child = "1s", "        dpd_action = restart\n"
			c.Extra = "  retransmit_tries = 1\n  retransmit_timeout = 1.0\n"
		}},
		{name: "it connects at the start", keys: remote, child: boot + "\n", death: within(stoppedForSecond, 6*time.Second)},
		{name: "it connects for traffic", keys: remote, child: traffic, death: within(stoppedForSecond, 6*time.Second)},
		{name: "strongSwan connects after a deletion", death: within(stoppedForSecond, 15*time.Second), swan: func(c *netlab.SwanConfig) {
			c.Child = "        close_action = start\n"
		}},
	} {
		t.Run(tt.death.name+", "+tt.name, func(t *testing.T) {
			t.Parallel()
			n, _, left := swanConnects(t, tt.keys, tt.child, tt.swan)
			n.wantPing(t, 10*time.Second)
			n.wantBackAfter(t, tt.death, func() { left.dieFor(tt.death) })
		})
	}
}

// TestStrongSwanIgnoresInvalidSPI kills culvert where it has no address to connect to, and
// strongSwan makes no checks, as by default: strongSwan hears of its unknown SPIs, believes nothing
// that is not protected, does not look into it, and the tunnel stays down until people act.
func TestStrongSwanIgnoresInvalidSPI(t *testing.T) {
	t.Parallel()
	n, s, left := swanConnects(t, "", "", nil)
	n.wantPing(t, 10*time.Second)
	left.dieFor(killed)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := n.right.PingUntil(ctx, rightLAN4, leftLAN4, 100*time.Millisecond); err == nil {
		t.Fatal("strongSwan mended it: docs/measurements.md says that it does not")
	}
	if sent := left.status().Counters["ike_invalid_spi_sent"]; sent < 2 || !strings.Contains(s.Log(), "received unencrypted informational") {
		t.Errorf("INVALID_SPI was sent %d times; strongSwan:\n%s", sent, indent(s.Log()))
	}
	ctl(t, s, "--terminate", "--force", "--ike", "culvert")
	ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
	n.wantPing(t, 10*time.Second)
}

// swanConnects starts strongSwan and culvert, which has the given keys, and has strongSwan connect.
func swanConnects(t *testing.T, keys, childKeys string, swan func(*netlab.SwanConfig)) (*network, *netlab.Swan, *gateway) {
	t.Helper()
	n := build(t, topology{flows: []flow{}}) // strongSwan leaves no guard behind
	s := n.swan(t, func(c *netlab.SwanConfig) {
		if c.RemoteAddr = "192.0.2.1"; swan != nil {
			swan(c)
		}
	})
	left := newGateway(t, n.left)
	left.start(peerText("right", keys+identities("left", "right"), swanChildKeys+childKeys))
	if childKeys != boot+"\n" {
		ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
	}
	left.waitUp("right")
	return n, s, left
}

// dieFor ends a daemon as a death says, and starts it again.
func (g *gateway) dieFor(d death) {
	g.t.Helper()
	g.signal(d.how)
	<-g.proc.Done()
	time.Sleep(d.pause) // the time that it is away
	g.run()
}
