package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"culvert/internal/interop"
)

func TestFollow(t *testing.T) {
	one, two := interop.Record{Cell: "one", Passed: true}, interop.Record{Cell: "two"}
	var log strings.Builder
	var got []interop.Record
	text := "=== RUN\n" + one.Line() + "\nsaid\nhalf a line" + two.Line() + "\nthe end"
	if err := follow(strings.NewReader(text), &log, func(r interop.Record) { got = append(got, r) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []interop.Record{one, two}) || log.String() != "=== RUN\nsaid\nthe end" {
		t.Errorf("got %v, log %q", got, log.String())
	}
}

func TestHashOf(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	hashes := map[string]bool{}
	for _, text := range []string{"one", "two", "one"} {
		for _, path := range []string{a, b} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			hash, err := hashOf(a)
			if err != nil || len(hash) != 16 {
				t.Fatalf("%q, %v", hash, err)
			}
			hashes[hash] = true
		}
	}
	if len(hashes) != 2 {
		t.Errorf("two texts have %d hashes", len(hashes))
	}
	if _, err := hashOf(a, filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a file that is missing has a hash")
	}
}

func TestEnvironment(t *testing.T) {
	cells := []interop.Cell{{Peer: "x", Algorithm: "ESP a"}, {Peer: "x", Algorithm: "ESP b"}}
	if got := environment(job{cells: cells}, "/c", "/r"); !slices.Contains(got, "CULVERT_INTEROP_CELLS=x: ESP a\nx: ESP b") || !slices.Contains(got, "CULVERT_BIN=/c") || !slices.Contains(got, "CULVERT_INTEROP_ROOT=/r") {
		t.Errorf("got %q", got)
	}
	if got := logName(interop.Cell{Peer: "x 1.2", Algorithm: "ESP a/b"}); got != "x-1.2-ESP-a-b.log" {
		t.Errorf("the log is %s", got)
	}
}
