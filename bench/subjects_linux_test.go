package bench

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"culvert/internal/daemon"
)

func TestFloorBuildIsNotTakenForCulvert(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	culvert, floor := build(t, "culvert/cmd/culvert"), build(t, "-tags", "floor", "culvert/cmd/culvert")
	for _, c := range []Culvert{{Binary: floor}, {Binary: culvert, Floor: true}} {
		if v, err := c.Version(t.Context()); err == nil {
			t.Errorf("%+v passes for %s", c, v)
		}
	}
	config := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(floor, "run", "--config", config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), daemon.FloorWarning) {
		t.Errorf("it runs without consent: %v, %s", err, out)
	}
}

// Every network is valid and unique, and no child has more than IKE can count.
func TestMoreNetworks(t *testing.T) {
	const n = 10_000
	seen := make(map[string]bool)
	children := strings.Split(moreNetworks(leftNet, n), "[[peer.child]]")[1:]
	for _, child := range children {
		list := strings.Split(child, "\"100.")[1:]
		if len(list) > perChild {
			t.Errorf("a child has %d networks", len(list))
		}
		for _, s := range list {
			s, _, _ = strings.Cut("100."+s, "\"")
			p, err := netip.ParsePrefix(s)
			if err != nil || p != p.Masked() || seen[s] {
				t.Fatalf("network %q: %v, seen: %v", s, err, seen[s])
			}
			seen[s] = true
		}
	}
	if len(seen) != n || len(children) != n/perChild {
		t.Errorf("%d networks in %d children, want %d in %d", len(seen), len(children), n, n/perChild)
	}
}
