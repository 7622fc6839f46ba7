//go:build linux

package e2e

import (
	"syscall"
	"testing"
	"time"
)

// signal ends the daemon by a signal.
func (g *gateway) signal(s syscall.Signal) {
	g.t.Helper()
	ok(g.t, g.proc.Signal(s))
	select {
	case <-g.proc.Done():
	case <-time.After(5 * time.Second):
		g.t.Fatalf("culvert at %s goes on after %v", g.host.Name, s)
	}
}

// TestNothingLeaksOverARestart ends the daemon under traffic and starts it again at once, or
// reloads it: meanwhile none of the host's own and forwarded packets leaves in the clear.
func TestNothingLeaksOverARestart(t *testing.T) {
	t.Parallel()
	n := build(t, topology{client: true})
	left, right := pair(t, n, "192.0.2.2", "")
	tr := n.traffic(t)
	tr.wantFlow("at first")
	const repeats = 10
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
	}{
		{"an ordered end", syscall.SIGTERM},
		{"kill -9", syscall.SIGKILL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range repeats {
				left.signal(tt.signal)
				left.run()
				tr.wantFlow(tt.name)
				n.leaks.wantNone(t, tt.name)
			}
		})
	}
	t.Run("a reload", func(t *testing.T) {
		base := peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...)
		third := peerText("third", "remote = \"192.0.2.3\"\n"+identities("left", "third"), childText("lan", "10.1.0.0/16", "10.3.0.0/16", ""), childText("part", "10.1.0.0/24", "10.2.7.0/24", ""))
		for i := range repeats {
			if i%2 == 0 {
				left.write(base, third)
			} else {
				left.write(base)
			}
			left.do("reload")
			tr.wantFlow("a reload")
			n.leaks.wantNone(t, "a reload")
		}
	})
	right.stop()
}
