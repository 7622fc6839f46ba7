package mutate

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An interrupt during a compilation leaves nothing behind: module checks the temporary files.
func TestRunIsInterruptedWhileItCompiles(t *testing.T) {
	needBuild(t)
	dir := module(t, map[string]string{"p/code.go": code, "p/code_test.go": tests})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil && !compiling() {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	s := Settings{Dir: dir, Packages: []string{"./p"}, Mutants: 1, Parallel: 1}
	results, err := Run(ctx, s, new(strings.Builder), new(strings.Builder))
	if err == nil || len(results) != 0 {
		t.Errorf("got %+v, %v", results, err)
	}
}

// compiling reports whether a go command has its folder of intermediate files in TMPDIR, at any
// depth where the lab might put it.
func compiling() bool {
	for _, depth := range []string{"go-build*/*", "*/go-build*/*", "*/*/go-build*/*"} {
		if found, err := filepath.Glob(filepath.Join(os.TempDir(), depth)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}
