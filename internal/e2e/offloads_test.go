//go:build linux

package e2e

import (
	"strings"
	"testing"
)

// TestNoOffloads: a side without offloads works with one that has them, both ways.
func TestNoOffloads(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	left.daemon = "offloads = \"none\"\n"
	keys := "encap = \"always\"\n"
	right.start(peerText("left", identities("right", "left")+keys, rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right")+keys, leftChildren(boot)...))
	left.waitUp("right")
	right.waitUp("left")
	n.wantTraffic(t, 4<<20)
	for g, without := range map[*gateway]bool{left: true, right: false} {
		if got := strings.Contains(g.proc.Output(), "offloads=none"); got != without {
			t.Errorf("culvert at %s does without offloads: %t, want %t", g.host.Name, got, without)
		}
	}
}
