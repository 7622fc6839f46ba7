package guest

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What was unpacked for the same packages is taken as it is; for others it is not.
func TestUnpackFromTheCache(t *testing.T) {
	cache := t.TempDir()
	dir := filepath.Join(cache, "trixie")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "unpacked"), []byte("a\nb\nc"), 0o644); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // nothing can be run
	root, err := Unpack(ended, cache, "trixie", [][]string{{"a", "b"}, {"c"}}, io.Discard)
	if want := filepath.Join(dir, "root"); err != nil || root != want {
		t.Errorf("got %q, %v, want %q", root, err, want)
	}
	if _, err := Unpack(ended, cache, "trixie", [][]string{{"a", "b"}, {"d"}}, io.Discard); err == nil {
		t.Error("other packages were unpacked by nobody")
	}
}

// All packages are unpacked into one folder, in place of what is there, with the system's links.
func TestUnpackAll(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is not installed")
	}
	dir, root := t.TempDir(), filepath.Join(t.TempDir(), "root")
	for _, name := range []string{"one", "two"} {
		source := filepath.Join(t.TempDir(), name)
		control := "Package: " + name + "\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: a test\n"
		for path, text := range map[string]string{"DEBIAN/control": control, "usr/bin/" + name: name} {
			path = filepath.Join(source, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(dir, "archives"), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("dpkg-deb", "-b", source, filepath.Join(dir, "archives", name+".deb")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for range 2 {
		if err := unpackAll(t.Context(), dir, root); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "two"} { // by the link /bin
			if text, err := os.ReadFile(filepath.Join(root, "bin", name)); err != nil || string(text) != name {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		}
		if err := os.WriteFile(filepath.Join(root, "usr/bin/old"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := unpackAll(t.Context(), dir, root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "bin", "old")); err == nil {
		t.Error("what was there before is still there")
	}
	if err := unpackAll(t.Context(), t.TempDir(), root); err == nil || !strings.Contains(err.Error(), "has no packages") {
		t.Errorf("of nothing: %v", err)
	}
}
