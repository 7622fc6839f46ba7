package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// signalled ends a context as soon as something is written.
type signalled struct {
	text   bytes.Buffer
	cancel context.CancelFunc
}

func (s *signalled) Write(b []byte) (int, error) {
	defer s.cancel()
	return s.text.Write(b)
}

func TestWatchEndsWhenInterrupted(t *testing.T) {
	for _, args := range [][]string{{"status", "--watch"}, {"status", "--watch", "--json"}} {
		ctx, cancel := context.WithCancel(context.Background())
		out, stderr := &signalled{cancel: cancel}, &bytes.Buffer{}
		if status := Main(ctx, append(args, "--control", serve(t)), out, stderr); status != 0 || stderr.Len() > 0 {
			t.Errorf("%v: got %d, %q, want 0", args, status, stderr)
		}
		if !strings.Contains(out.text.String(), "right") || strings.Contains(out.text.String(), "\x1b") {
			t.Errorf("%v: got %q", args, out.text.String())
		}
	}
}

// screen is a writer that keeps what is written, and ends a context after some writes.
type screen struct {
	text   bytes.Buffer
	left   int
	cancel context.CancelFunc
}

func (s *screen) Write(b []byte) (int, error) {
	if s.left--; s.left == 0 {
		defer s.cancel()
	}
	return s.text.Write(b)
}

// TestWatchKeepsTheScreen: on a terminal the alternate screen is used and left, and nothing deletes
// what the terminal keeps.
func TestWatchKeepsTheScreen(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	out := &screen{left: 2, cancel: cancel} // the second write is the first picture
	v := view{client: client(t), out: out, terminal: true}
	if err := v.watch(ctx); err != nil {
		t.Fatal(err)
	}
	got := out.text.String()
	if !strings.HasPrefix(got, openScreen+home+"1 peer: 0 up, 1 down") || !strings.HasSuffix(got, restBelow+closeScreen) || strings.Contains(got, "\x1b[3J") || strings.Contains(got, "\x1b[2J") {
		t.Errorf("%q", got)
	}
	if strings.Count(got, restOfLine+"\r\n") != 4 {
		t.Errorf("lines do not end what was there before: %q", got)
	}
}

// TestWatchOutlivesADaemon: a daemon that is away is asked again, one that never answered is an
// error.
func TestWatchOutlivesADaemon(t *testing.T) {
	path, end := serveUntil(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := &screen{left: 2, cancel: cancel} // the status, and that there is none
	v := view{client: clientAt(path), out: writes{out, end}}
	if err := v.watch(ctx); err != nil {
		t.Fatal(err)
	}
	if got := out.text.String(); !strings.Contains(got, "right") || !strings.Contains(got, "no culvert daemon listens at "+path) || !strings.Contains(got, "it is asked again") {
		t.Errorf("%q", got)
	}
	if err := (&view{client: clientAt(path), out: out}).watch(context.Background()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("without a daemon: %v", err)
	}
}

// writes calls a function after each write.
type writes struct {
	to    *screen
	after func()
}

func (w writes) Write(b []byte) (int, error) {
	defer w.after()
	return w.to.Write(b)
}
