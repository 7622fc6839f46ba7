package netlab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A program of another system finds its own files, this host's devices, those on mounts of their
// own as well, and a /proc, of which nothing is left.
func TestInRoot(t *testing.T) {
	if got := InRoot("", "p", "a", "b"); strings.Join(got, " ") != "p a b" {
		t.Errorf("on this host: %v", got)
	}
	busybox, err := exec.LookPath("busybox")
	Require(t, err)
	text, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	h := must(Need(t).Host("a"))(t)
	root := t.TempDir()
	for _, dir := range []string{"proc", "dev", "bin"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin", "busybox"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	command := InRoot(root, "/bin/busybox", "ls", "/", "/dev/null", "/dev/pts/ptmx", "/proc/self/status")
	out, err := h.Run(ctx, nil, command[0], command[1:]...)
	if got := strings.Join(strings.Fields(out), " "); err != nil || got != "/dev/null /dev/pts/ptmx /proc/self/status /: bin dev proc" {
		t.Errorf("%q, %v", got, err)
	}
	for _, dir := range []string{"proc", "dev"} {
		if left, err := os.ReadDir(filepath.Join(root, dir)); err != nil || len(left) != 0 {
			t.Errorf("%d entries are left in %s: %v", len(left), dir, err)
		}
	}
}
