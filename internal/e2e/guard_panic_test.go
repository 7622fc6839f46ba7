//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// panicking builds a culvert that panics at SIGUSR2.
func panicking(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	added, err := filepath.Abs("testdata/panics.go")
	ok(t, err)
	place, err := filepath.Abs("../../cmd/culvert/panics.go")
	ok(t, err)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{place: added}})
	ok(t, err, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	program := filepath.Join(dir, "culvert")
	cmd := exec.Command("go", "build", "-trimpath", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "culvert/cmd/culvert")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building culvert: %v\n%s", err, out)
	}
	return program
}

// panicked ends a daemon of panicking.
func panicked(g *gateway) {
	g.t.Helper()
	ok(g.t, g.proc.Signal(syscall.SIGUSR2))
	g.ended(2)
	if out := g.proc.Output(); !strings.Contains(out, "panic: as the test asked") {
		g.t.Errorf("it did not end by a panic:\n%s", out)
	}
}
