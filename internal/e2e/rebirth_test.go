//go:build linux

package e2e

import (
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

// The bounds leave room for a busy machine; docs/measurements.md has what is usual. A killed peer
// is missed after a second of packets without answers.
var deaths = []death{
	{"killed", syscall.SIGKILL, time.Second, 6 * time.Second},
	{"stopped in order", syscall.SIGTERM, 0, 3 * time.Second},
}

// TestCulvertRestarts restarts a culvert that only answers, under traffic both ways: the other side
// is connected to it again within seconds, long before the DPD interval.
func TestCulvertRestarts(t *testing.T) {
	for _, d := range deaths {
		for _, dpd := range []string{"30s", "2s"} {
			t.Run(d.name+", dpd "+dpd, func(t *testing.T) {
				n := build(t, topology{})
				left, right := pair(t, n, "192.0.2.2", "dpd = \""+dpd+"\"\n")
				n.wantPing(t, 10*time.Second)
				n.wantBackAfter(t, d, func() {
					right.signal(d.how)
					<-right.proc.Done()
					time.Sleep(d.pause) // the time that the peer is away
					right.run()
				})
				left.stop()
				right.stop()
			})
		}
	}
}

// TestStrongSwanRestarts restarts strongSwan, in either role, under traffic both ways. It sends no
// INVALID_SPI.
func TestStrongSwanRestarts(t *testing.T) {
	for _, d := range deaths {
		for _, connects := range []string{"culvert", "strongSwan"} {
			t.Run(connects+" connects, strongSwan is "+d.name, func(t *testing.T) {
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
