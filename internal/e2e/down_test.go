//go:build linux

package e2e

import (
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// TestDownIsDown takes a peer down that starts at boot and whose strongSwan calls again and again:
// traffic, the calls and a reload do not bring it up, nothing leaves in the clear, and up does.
func TestDownIsDown(t *testing.T) {
	for _, o := range []outer{outer4, outer6} {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			downIsDown(t, o)
		})
	}
}

func downIsDown(t *testing.T, o outer) {
	t.Helper()
	n := build(t, topology{})
	s := n.swan(t, func(c *netlab.SwanConfig) { c.RemoteAddr = o.left })
	left := leftAt(t, n, o.right, "", "  start = \"boot\"\n")
	left.waitUp("right")
	wantPing(t, n.left, leftLAN4, rightLAN4)
	left.do("down", "right")
	for range 3 {
		if rtts, _, err := n.left.Pings(t.Context(), leftLAN4, rightLAN4, 10, 300*time.Millisecond); err == nil && len(rtts) > 0 {
			t.Fatal("traffic passes")
		}
		if out, err := s.Ctl(t.Context(), "--initiate", "--child", "v4", "--timeout", "5"); err == nil || !strings.Contains(out+s.Log(), "AUTHENTICATION_FAILED") {
			t.Fatalf("the peer's call: %v, %s", err, out)
		}
		left.do("reload")
	}
	st := left.status()
	if p := st.Peers[0]; p.State != "down" || p.TakenDown == nil || p.TakenDown.By != "root" || !strings.Contains(p.Reason, "down by command of root since ") {
		t.Errorf("the status is %+v", p)
	}
	if st.Counters["out_down"] == 0 || st.Counters["ike_refused_down"] < 3 {
		t.Errorf("dropped %d packets, refused %d calls", st.Counters["out_down"], st.Counters["ike_refused_down"])
	}
	left.do("up", "right")
	left.waitUp("right")
	wantPing(t, n.left, leftLAN4, rightLAN4)

	// Once: the start brings it up again.
	left.do("down", "--once", "right")
	left.wait(15*time.Second, "the start to bring it up", "right", func(p peerStatus) bool { return p.Children[0].State == "installed" && p.TakenDown == nil })
	wantPing(t, n.left, leftLAN4, rightLAN4)
}
