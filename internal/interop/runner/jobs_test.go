package runner

import (
	"testing"

	"culvert/internal/interop"
)

// Single algorithms of a peer are one job, and so is all of a guest.
func TestSplit(t *testing.T) {
	cells := []interop.Cell{{Feature: "a"}, {Algorithm: "x"}, {Feature: "b"}, {Algorithm: "y"}}
	for where, want := range map[interop.Where][]int{interop.Here: {1, 1, 2}, interop.Chroot: {1, 1, 2}, interop.Guest: {4}} {
		jobs := split(interop.Peer{Where: where}, cells)
		if len(jobs) != len(want) {
			t.Fatalf("%v: %d jobs, want %d", where, len(jobs), len(want))
		}
		for i, j := range jobs {
			if len(j.cells) != want[i] || j.peer.Where != where {
				t.Errorf("%v: job %d has %d cells, want %d", where, i, len(j.cells), want[i])
			}
		}
	}
	if jobs := split(interop.Peer{}, nil); len(jobs) != 0 {
		t.Errorf("%d jobs of no cell", len(jobs))
	}
}
