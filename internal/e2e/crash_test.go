//go:build linux

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCrashTokens kills a responder that never calls, and starts it again, while the other side
// sends. The first packet that reaches the restarted one has the other side know, by a crash token,
// that its SAs are lost. The default of 30 s for liveness checks does not matter.
func TestCrashTokens(t *testing.T) {
	for _, tt := range []struct {
		name, remote, keys string
		top                topology
	}{
		{name: "protocol 50 over IPv4", remote: "192.0.2.2", keys: protocol50},
		{name: "protocol 50 over IPv6", remote: "2001:db8::2", keys: protocol50},
		{name: "UDP over IPv4", remote: "192.0.2.2"},
		{name: "through a NAT", remote: "192.0.2.2", top: topology{nat: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, tt.top)
			left, right := pair(t, n, tt.remote, tt.keys)
			n.wantPing(t, 10*time.Second)
			secret, err := os.ReadFile(filepath.Join(right.dir, "state", "crash-secret"))
			if err != nil || len(secret) != 32 {
				t.Fatalf("the secret has %d octets, %v", len(secret), err)
			}
			right.proc.Kill()
			killed := time.Now()
			right.run()
			ready := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err = n.left.PingUntil(ctx, leftLAN4, rightLAN4, 10*time.Millisecond)
			ok(t, err)
			t.Logf("a reply %v after the kill, %v after the restarted daemon was ready", time.Since(killed), time.Since(ready))
			s := left.status()
			if s.Counters["ike_crash_tokens_right"] == 0 {
				t.Errorf("no IKE SA ended by a token: %v", s.Counters)
			}
			left.stop()
			right.stop()
		})
	}
}
