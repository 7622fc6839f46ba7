//go:build linux

package netlab

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

// TestSwanWithSwan proves the peer itself: two strongSwans carry traffic here, so that a failure
// against culvert is culvert's.
func TestSwanWithSwan(t *testing.T) {
	Require(t, SwanAvailable())
	l := Need(t)
	a, b := must(l.Host("a"))(t), must(l.Host("b"))(t)
	for _, err := range []error{
		l.Link(Iface{a, "wan", []string{"192.0.2.1/24"}}, Iface{b, "wan", []string{"192.0.2.2/24"}}, 1500),
		a.LAN("lan", "10.1.0.1/24"), b.LAN("lan", "10.2.0.1/24"),
		a.Route("default", "192.0.2.2", 0), b.Route("default", "192.0.2.1", 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	conf := func(local, remote, peer, lts, rts string) SwanConfig {
		return SwanConfig{RemoteAddr: peer, LocalID: local, RemoteID: remote, PSK: "secret", Children: map[string][2]string{"net": {lts, rts}}}
	}
	// Characters that the name of a test's folder may have, for example # for a test without a
	// name.
	odd := filepath.Join(t.TempDir(), "#00 {a} = b")
	sb := must(b.Swan(odd, conf("b.example", "a.example", "", "10.2.0.0/24", "10.1.0.0/24")))(t)
	sa := must(a.Swan(t.TempDir(), conf("a.example", "b.example", "192.0.2.2", "10.1.0.0/24", "10.2.0.0/24")))(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if out, err := sa.Ctl(ctx, "--initiate", "--child", "net", "--timeout", "10"); err != nil {
		t.Fatalf("%v\n%s\n%s\n%s", err, out, sa.Log(), sb.Log())
	}
	if _, err := a.PingUntil(ctx, netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1"), 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
}
