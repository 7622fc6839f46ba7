package main

import (
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

// TestStatusOfWhatIsDown: a status of its own tells scripts that something is down that is wanted.
func TestStatusOfWhatIsDown(t *testing.T) {
	for _, c := range []struct {
		peer control.Peer
		want int
	}{
		{control.Peer{Name: "right", State: "down", Wanted: true}, exitDown},
		{control.Peer{Name: "right", State: "down"}, exitDone},
		{control.Peer{Name: "right", State: "established", Children: []control.Child{{State: "negotiating", Wanted: true}}}, exitDown},
		{control.Peer{Name: "right", State: "down", Wanted: true, TakenDown: &control.Hold{}}, exitDone},
	} {
		socket := serve(t, c.peer)
		for _, args := range [][]string{{"status"}, {"status", "-v"}, {"status", "right"}, {"status", "--json"}, {"status", "--jsonl"}} {
			if status, stdout, stderr := culvert(append(args, "--control", socket)...); status != c.want || stderr != "" || !strings.Contains(stdout, "right") {
				t.Errorf("%v of %+v: %d, %q, want %d", args, c.peer, status, stderr, c.want)
			}
		}
	}
}
