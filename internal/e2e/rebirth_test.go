//go:build linux

package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// A death is how a daemon ends and comes back.
type death struct {
	name  string
	how   syscall.Signal
	pause time.Duration // until it is started again
	most  time.Duration // the longest silence of traffic both ways
}

// The bounds are two to three times what is usual (docs/measurements.md), for a busy machine. A
// killed peer is missed after a second of packets without answers.
var (
	killed           = death{"killed", syscall.SIGKILL, time.Second, 4 * time.Second}
	stopped          = death{"stopped in order", syscall.SIGTERM, 0, 2 * time.Second}
	stoppedForSecond = death{"stopped in order for a second", syscall.SIGTERM, time.Second, 3 * time.Second}
)

// TestCulvertRestarts restarts a culvert that only answers, under traffic both ways: the other side
// is connected to it again within seconds, long before the DPD interval.
func TestCulvertRestarts(t *testing.T) {
	for _, tt := range []struct {
		death
		dpd, tokens string
		outer       outer
	}{
		{killed, "30s", "auto", outer4},
		{killed, "2s", "auto", outer4},
		{killed, "30s", "off", outer4},
		{killed, "30s", "auto", outer6},
		{stopped, "30s", "auto", outer4},
		{stoppedForSecond, "30s", "auto", outer4},
	} {
		t.Run(fmt.Sprintf("%s, dpd %s, crash tokens %s, %s", tt.death.name, tt.dpd, tt.tokens, tt.outer.name), func(t *testing.T) {
			n := build(t, topology{})
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			left.daemon = "crash_tokens = \"" + tt.tokens + "\"\n"
			right.daemon = left.daemon
			keys := "dpd = \"" + tt.dpd + "\"\n"
			right.start(peerText("left", identities("right", "left")+keys, rightChildren("")...))
			left.start(peerText("right", "remote = \""+tt.outer.right+"\"\n"+identities("left", "right")+keys, leftChildren(boot)...))
			left.waitUp("right")
			n.wantPing(t, 10*time.Second)
			n.wantBackAfter(t, tt.death, func() { right.dieFor(tt.death) })
			left.stop()
			right.stop()
		})
	}
}

// TestStrongSwanRestarts restarts strongSwan, in either role, under traffic both ways. It sends no
// INVALID_SPI.
func TestStrongSwanRestarts(t *testing.T) {
	for _, d := range []death{killed, stopped, stoppedForSecond} {
		for _, connects := range []string{"culvert", "strongSwan"} {
			t.Run(connects+" connects, strongSwan is "+d.name, func(t *testing.T) {
				t.Parallel()
				n := build(t, topology{flows: []flow{}}) // strongSwan leaves no guard behind
				start := func() *netlab.Swan {
					return n.swan(t, func(c *netlab.SwanConfig) { c.RemoteAddr = "192.0.2.1" })
				}
				s, child := start(), boot
				if connects == "strongSwan" {
					child = "  start = \"traffic\""
				}
				left := leftOf(t, n, "", child+"\n")
				if connects == "strongSwan" {
					ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
				}
				left.waitUp("right")
				n.wantPing(t, 10*time.Second)
				n.wantBackAfter(t, d, func() {
					if d.how == syscall.SIGKILL {
						s.Kill()
					} else {
						s.Stop()
					}
					time.Sleep(d.pause)
					s = start()
					if connects == "strongSwan" { // it refuses where culvert was faster
						s.Ctl(t.Context(), "--initiate", "--child", "v4", "--timeout", "15")
					}
				})
			})
		}
	}
}

// wantBackAfter checks how long traffic both ways is silent because of a death.
func (n *network) wantBackAfter(t *testing.T, d death, die func()) {
	t.Helper()
	end := n.silence(t)
	time.Sleep(3 * time.Second) // traffic that is usual
	die()
	n.wantPing(t, 90*time.Second)
	time.Sleep(time.Second) // the streams are back as well
	silence := end()
	t.Logf("%s: silent for %v", d.name, silence.Round(10*time.Millisecond))
	if silence > d.most {
		t.Errorf("silent for %v, want at most %v", silence, d.most)
	}
}
