package runner

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culvert/internal/interop"
)

// newRun returns a run whose cells come to what outcome says; a cell may have no record.
func newRun(t *testing.T, dir string, outcome func(interop.Cell) (passed, recorded bool)) (*run, *strings.Builder) {
	t.Helper()
	var out strings.Builder
	r := &run{settings: Settings{Cache: dir, Jobs: 3, Limit: time.Minute, Only: regexp.MustCompile("^strongSwan 5.9: .*(IKE aes128gcm|IPv6, cookies)")}, build: "b1", out: &out, begun: time.Now()}
	r.prepare = func(context.Context, []job, io.Writer) error { return nil }
	r.start = func(_ context.Context, j job, emit func(interop.Record)) error {
		for _, c := range j.cells {
			if passed, recorded := outcome(c); recorded {
				emit(interop.Record{Cell: c.Name(), Passed: passed})
			}
		}
		return errors.New("the end")
	}
	return r, &out
}

// What has passed is not run again with the same programs; what failed, or has no record, is.
func TestRunGoesOn(t *testing.T) {
	dir := t.TempDir()
	first, out := newRun(t, dir, func(c interop.Cell) (bool, bool) {
		return !strings.Contains(c.Algorithm, "modp6144"), !strings.Contains(c.Algorithm, "modp8192")
	})
	good, err := first.all(t.Context())
	if good || err != nil || first.failed != 2 || !strings.Contains(out.String(), "it ended without a result: the end") {
		t.Fatalf("passed %v, %v, %d failed:\n%s", good, err, first.failed, out)
	}
	var ran atomic.Int64 // jobs run side by side
	again := func(c interop.Cell) (bool, bool) { ran.Add(1); return true, true }
	second, _ := newRun(t, dir, again)
	if good, err := second.all(t.Context()); !good || err != nil || ran.Load() != 2 {
		t.Errorf("passed %v, %v; %d cells ran, want 2", good, err, ran.Load())
	}
	third, _ := newRun(t, dir, again)
	ran.Store(0)
	third.build = "b2"
	if good, err := third.all(t.Context()); !good || err != nil || int(ran.Load()) != first.wanted {
		t.Errorf("with other programs %d of %d cells ran: %v, %v", ran.Load(), first.wanted, good, err)
	}
	fourth, _ := newRun(t, dir, again)
	ran.Store(0)
	fourth.build, fourth.settings.Again = "b2", true
	if good, err := fourth.all(t.Context()); !good || err != nil || int(ran.Load()) != first.wanted {
		t.Errorf("again: %d of %d cells ran: %v, %v", ran.Load(), first.wanted, good, err)
	}
}

// A run that is ended keeps what has passed, and blames no cell.
func TestRunIsEnded(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	ended, _ := newRun(t, dir, nil)
	ended.settings.Jobs = 1
	ended.start = func(_ context.Context, j job, emit func(interop.Record)) error {
		emit(interop.Record{Cell: j.cells[0].Name(), Passed: true})
		cancel()
		return ctx.Err()
	}
	if _, err := ended.all(ctx); !errors.Is(err, context.Canceled) || ended.failed != 0 || len(ended.done) != 1 {
		t.Errorf("%v; %d failed, %d done", err, ended.failed, len(ended.done))
	}
	next, _ := newRun(t, dir, func(interop.Cell) (bool, bool) { return true, true })
	if good, err := next.all(t.Context()); !good || err != nil || next.wanted == 0 || len(next.done) != next.wanted {
		t.Errorf("passed %v, %v, %d of %d", good, err, len(next.done), next.wanted)
	}
}

// The document is written once every cell has a record, and not for a part of them.
func TestRunWritesTheDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "interop.md")
	r, _ := newRun(t, t.TempDir(), func(interop.Cell) (bool, bool) { return true, true })
	r.settings.Document = path
	if _, err := r.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a part of the cells wrote the document")
	}
	r.settings.Only = nil
	if _, err := r.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "not run") {
		t.Errorf("%v:\n%s", err, text)
	}
}
