package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"culvert/internal/control"
)

func TestStatusTellsOfGuards(t *testing.T) {
	gone, answered := errors.New("no culvert daemon"), &control.Error{Text: "no such peer"}
	if got := withGuards(gone, []string{"the guard of a is up"}); got.Error() != "no culvert daemon; the guard of a is up" || !errors.Is(got, gone) {
		t.Errorf("got %v", got)
	}
	for _, err := range []error{answered, context.Canceled} {
		if got := withGuards(err, []string{"x"}); got != err {
			t.Errorf("got %v", got)
		}
	}
	if got := withGuards(gone, nil); got != gone {
		t.Errorf("got %v", got)
	}
}

func TestStatusJSON(t *testing.T) {
	status, stdout, stderr := culvert("status", "--json", "--control", serve(t))
	var st control.Status
	if err := json.Unmarshal([]byte(stdout), &st); err != nil || status != 0 || stderr != "" {
		t.Fatalf("got %d, %q, %q: %v", status, stdout, stderr, err)
	}
	if st.Version != 1 || len(st.Peers) != 1 || st.Counters["esp_unknown_spi"] != 3 {
		t.Errorf("got %+v", st)
	}
}

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
