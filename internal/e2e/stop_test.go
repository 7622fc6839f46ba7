//go:build linux

package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// load floods the tunnel by TCP and UDP, both ways, until the returned function is called.
func (n *network) load(t *testing.T) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, way := range []struct {
		from, to *netlab.Host
		left     bool
	}{{n.left, n.right, true}, {n.right, n.left, false}} {
		src, dst := leftLAN4, rightLAN4
		if !way.left {
			src, dst = dst, src
		}
		running.Go(func() { _, _ = netlab.Transfer(ctx, way.from, src, way.to, dst, 1<<40) })
		s, err := netlab.StartStream(way.from, src, way.to, dst, 20_000, 1200)
		ok(t, err)
		running.Go(func() {
			<-ctx.Done()
			s.Stop(0)
		})
	}
	var once sync.Once
	end = func() {
		once.Do(func() {
			cancel()
			running.Wait()
		})
	}
	t.Cleanup(end)
	return end
}

// stopsAtOnce ends the daemon, which must take less than a second and leave nothing.
func (g *gateway) stopsAtOnce() {
	g.t.Helper()
	if n := len(g.sockets()); n < 2*4 { // in each family one on port 500, and on 4500 those of a worker, the control plane and fragments
		g.t.Errorf("%s: %d sockets of IKE and ESP: this test looks for them in vain", g.host.Name, n)
	}
	start := time.Now()
	g.stop()
	d := time.Since(start)
	g.t.Logf("%s: the end took %v", g.host.Name, d)
	if d >= time.Second {
		g.t.Errorf("%s: the end took %v, want less than a second", g.host.Name, d)
	}
	if left := g.sockets(); len(left) > 0 {
		g.t.Errorf("%s: sockets are left: %q", g.host.Name, left)
	}
}

// sockets returns the lines of IKE and ESP sockets in the host's tables.
func (g *gateway) sockets() (found []string) {
	g.t.Helper()
	for file, local := range map[string][]string{
		"udp": {":01F4 ", ":1194 "}, "udp6": {":01F4 ", ":1194 "}, // ports 500 and 4500
		"raw": {":0032 "}, "raw6": {":0032 "}, // protocol 50
	} {
		var table []byte
		ok(g.t, g.host.Do(func() (err error) { table, err = os.ReadFile("/proc/thread-self/net/" + file); return err }))
		for line := range strings.Lines(string(table)) {
			if slices.ContainsFunc(local, func(l string) bool { return strings.Contains(line, l) }) {
				found = append(found, file+line)
			}
		}
	}
	return found
}

// TestStopUnderLoad ends the daemon under full load both ways, over a link that carries it and over
// one that does not.
func TestStopUnderLoad(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
		rate       int
	}{
		{name: "protocol 50", keys: protocol50},
		{name: "UDP", keys: "encap = \"always\"\n"},
		{name: "protocol 50 over a slow link", keys: protocol50, rate: 20e6},
		{name: "UDP over a slow link", keys: "encap = \"always\"\n", rate: 20e6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := pair(t, n, "192.0.2.2", tt.keys)
			if tt.rate > 0 {
				ok(t, n.left.Shape("wan", tt.rate, 128<<10, false), n.right.Shape("wan", tt.rate, 128<<10, false))
			}
			end := n.load(t)
			busy := func(p peerStatus) bool { return p.Children[0].PacketsOut > 5000 && p.Children[0].PacketsIn > 1000 }
			left.wait(10*time.Second, "load", "right", busy)
			left.stopsAtOnce()
			right.stopsAtOnce()
			end()
		})
	}
}

// TestStopWithoutAnAnswer ends the daemon while its packets are lost.
func TestStopWithoutAnAnswer(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	n.load(t)
	left.wait(10*time.Second, "load", "right", func(p peerStatus) bool { return p.Children[0].PacketsOut > 5000 })
	ok(t, n.right.SetLink("wan", false))
	left.stopsAtOnce()
	right.stopsAtOnce()
}
