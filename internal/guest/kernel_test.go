package guest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDependency(t *testing.T) {
	for text, want := range map[string]string{
		"linux-image-amd64\n  Depends: linux-image-6.1.0-57-amd64\n  Depends: other\n": "linux-image-6.1.0-57-amd64",
		"linux-image-amd64\n  Suggests: linux-doc\n":                                   "",
	} {
		if got := dependency(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A kernel in the cache is taken as it is; a part of one is not.
func TestFetchFromTheCache(t *testing.T) {
	cache := t.TempDir()
	root := filepath.Join(cache, "bookworm-linux-image-amd64", "root")
	modules := filepath.Join(root, "lib", "modules", "6.1.0-57-amd64")
	for _, dir := range []string{filepath.Join(root, "boot"), modules} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(root, "boot", "vmlinuz-6.1.0-57-amd64")
	for _, file := range []string{image, filepath.Join(modules, "modules.dep")} {
		if _, err := kernelIn(root); err == nil {
			t.Fatalf("without %s there is a kernel", file)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // nothing can be run
	k, err := Fetch(ended, cache, Debian{Suite: "bookworm", Package: "linux-image-amd64"}, io.Discard)
	if want := (Kernel{Release: "6.1.0-57-amd64", Image: image, Modules: modules}); err != nil || k != want {
		t.Errorf("got %v, %v, want %v", k, err, want)
	}
	if _, err := Fetch(ended, cache, Debian{Suite: "bullseye", Package: "linux-image-amd64"}, io.Discard); err == nil {
		t.Error("a kernel was fetched by nobody")
	}
}

// apt is kept apart from the host's: its lists, sources, packages and cache.
func TestOptionsOfApt(t *testing.T) {
	got := apt{dir: "/c"}.options("download", "x")
	for _, want := range []string{"Dir::State=/c", "Dir::Cache=/c", "Dir::State::status=/c/status", "Dir::Etc::sourcelist=/c/sources.list", "Dir::Etc::sourceparts=/dev/null"} {
		if i := slices.Index(got, want); i < 1 || got[i-1] != "-o" {
			t.Errorf("%v lacks -o %s", got, want)
		}
	}
	if !slices.Equal(got[len(got)-2:], []string{"download", "x"}) {
		t.Errorf("got %v", got)
	}
}
