package demo

import (
	"os"
	"path/filepath"
	"testing"

	"culvert/internal/config"
)

// The demonstration shows its configurations as examples: they load, and each gateway names the
// other as the peer that its own side proves to be.
func TestGatewaysFitTogether(t *testing.T) {
	right := load(t, gatewayText("right", "left", "", "10.2.0.0/16", "10.1.0.0/16", "traffic"))
	left := load(t, gatewayText("left", "right", "remote = \"192.0.2.2\"\n", "10.1.0.0/16", "10.2.0.0/16", "boot"))
	if left.LocalID != right.RemoteID || left.RemoteID != right.LocalID || string(left.PSK) != string(right.PSK) {
		t.Errorf("left is %v to %v, right is %v to %v", left.LocalID, left.RemoteID, right.LocalID, right.RemoteID)
	}
	l, r := left.Children[0], right.Children[0]
	if l.Local[0] != r.Remote[0] || l.Remote[0] != r.Local[0] {
		t.Errorf("left has %v to %v, right %v to %v", l.Local, l.Remote, r.Local, r.Remote)
	}
	if len(left.Remote) != 1 || len(right.Remote) != 0 {
		t.Errorf("left's remote is %v, right's %v: left alone initiates", left.Remote, right.Remote)
	}
}

func load(t *testing.T, text string) config.Peer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c.Peers[0]
}

func TestIndented(t *testing.T) {
	if got, want := indented("a\n\n  b\n"), "    a\n\n      b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
