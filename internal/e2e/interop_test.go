//go:build linux

package e2e

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"culvert/internal/interop"
)

// cellsEnv is the variable with the names of the cells that TestInterop runs, one in each line.
// Without it they are those of `make test`.
const cellsEnv = "CULVERT_INTEROP_CELLS"

// cellsAtOnce is how many cells run at a time: they wait for lifetimes most of the time. On one
// processor, as in a guest, they would wait for each other.
var cellsAtOnce = min(6, 4*runtime.NumCPU()-3)

// matrix has what came of the cells of this process.
var matrix struct {
	sync.Mutex
	records interop.Records
}

// record notes what came of a cell, at the end of its test.
func record(t *testing.T, r interop.Record) {
	r.Passed = !t.Failed()
	matrix.Lock()
	defer matrix.Unlock()
	if matrix.records == nil {
		matrix.records = interop.Records{}
	}
	matrix.records[r.Cell] = r
	if os.Getenv(cellsEnv) != "" {
		fmt.Println(r.Line())
	}
}

// TestInterop runs cells of the matrix of peers: culvert beside another implementation, over the
// hard lifetimes of the first SAs, under traffic. `make interop` runs all of them.
func TestInterop(t *testing.T) {
	t.Parallel()
	peer, _ := interop.Find(interop.StrongSwan)
	cells := peer.ShortCells()
	if names := os.Getenv(cellsEnv); names != "" {
		cells = named(t, strings.Split(names, "\n"))
	}
	turns := make(chan struct{}, cellsAtOnce)
	var running sync.WaitGroup
	each := func(name string, run func(t *testing.T)) {
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			t.Run(name, run)
		})
	}
	algorithms := map[string][]interop.Cell{}
	for _, c := range cells {
		if c.Algorithm != "" {
			algorithms[c.Peer] = append(algorithms[c.Peer], c)
			continue
		}
		each(c.Name(), func(t *testing.T) { runCell(t, c) })
	}
	for peer, cells := range algorithms {
		each(peer+": algorithms", func(t *testing.T) { runAlgorithms(t, cells) })
	}
	running.Wait()
	matrix.Lock()
	defer matrix.Unlock()
	t.Logf("the matrix of peers:\n%s", matrix.records.Table())
}

// named returns the cells with these names.
func named(t *testing.T, names []string) (cells []interop.Cell) {
	t.Helper()
	for _, p := range interop.Peers {
		for _, c := range p.Cells() {
			if slices.Contains(names, c.Name()) {
				cells = append(cells, c)
			}
		}
	}
	if len(cells) != len(names) {
		t.Fatalf("%s names %d cells, of which there are %d", cellsEnv, len(names), len(cells))
	}
	return cells
}
