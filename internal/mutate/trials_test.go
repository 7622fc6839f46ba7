package mutate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An interrupt ends a test that would never end, with all its processes.
func TestRunIsInterrupted(t *testing.T) {
	needBuild(t)
	started := filepath.Join(t.TempDir(), "started")
	if err := syscall.Mkfifo(started, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := module(t, map[string]string{
		"p/p.go": "package p\n\nfunc F() bool { return true }\n",
		"p/p_test.go": "package p\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc Test(t *testing.T) {\n\tif !F() {\n\t\tos.WriteFile(\"" + started +
			"\", nil, 0)\n\t\tselect {}\n\t}\n}\n",
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		os.ReadFile(started) // ends when the mutant's test has written to it
		cancel()
	}()
	s := Settings{Dir: dir, Packages: []string{"./p"}, Mutants: 1, Parallel: 2, Limit: time.Hour}
	results, err := Run(ctx, s, new(strings.Builder), new(strings.Builder))
	if !errors.Is(err, context.Canceled) || len(results) != 1 || results[0].Mutants() != 0 {
		t.Errorf("got %+v, %v", results, err)
	}
}

// wantSameMutants wants a run of fewer mutants, one at a time, to find survivors of the first.
func wantSameMutants(t *testing.T, s Settings, all Result) {
	t.Helper()
	s.Mutants, s.Parallel = 4, 1
	results, err := Run(t.Context(), s, new(strings.Builder), new(strings.Builder))
	if err != nil || len(results) != 1 || results[0].Mutants() != 4 {
		t.Fatalf("got %+v, %v", results, err)
	}
	for _, few := range results[0].Survivors {
		if !slices.Contains(all.Survivors, few) {
			t.Errorf("%+v does not survive with more mutants", few)
		}
	}
}
