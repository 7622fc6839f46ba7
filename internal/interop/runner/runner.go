// Package runner runs the matrix of peers: `make interop`. It keeps what came of each cell, so that
// a run that was ended goes on where it was, and writes docs/interop.md.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"culvert/internal/interop"
)

// Settings are those of a run.
type Settings struct {
	Cache    string         // folder of what is kept
	Only     *regexp.Regexp // names of cells; all if nil
	Again    bool           // also those that have passed
	Jobs     int            // how many cells run at a time
	Limit    time.Duration  // of a job
	Document string         // the file that is written once all cells have run; none if empty
}

// A job is cells of one peer that run together.
type job struct {
	peer  interop.Peer
	cells []interop.Cell
}

// start runs a job and hands over each record as it comes. It is a field of run for tests.
type start func(ctx context.Context, j job, emit func(interop.Record)) error

// run is a run of the matrix.
type run struct {
	settings Settings
	build    string // of the programs, that records are for
	start    start
	// prepare gets what jobs need, before the first one.
	prepare func(ctx context.Context, jobs []job, log io.Writer) error
	out     io.Writer
	begun   time.Time

	mu      sync.Mutex
	state   io.Writer
	records interop.Records
	done    map[string]bool // in this run
	wanted  int
	failed  int
}

// Run runs the cells that have not passed with the present programs, and tells out how it goes on.
// It reports whether all passed. The module's folder must be the current one.
func Run(ctx context.Context, s Settings, out io.Writer) (bool, error) {
	if err := os.MkdirAll(filepath.Join(s.Cache, "logs"), 0o755); err != nil {
		return false, err
	}
	p, err := build(ctx, s.Cache, out)
	if err != nil {
		return false, err
	}
	r := &run{settings: s, build: p.hash, start: p.start, prepare: p.peers, out: out, begun: time.Now()}
	return r.all(ctx)
}

// all runs all that is wanted, keeps its records, and writes the document.
func (r *run) all(ctx context.Context) (bool, error) {
	path := filepath.Join(r.settings.Cache, "records")
	if err := r.load(path); err != nil {
		return false, err
	}
	state, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	defer state.Close()
	r.state = state
	jobs := r.jobs()
	fmt.Fprintf(r.out, "%d cells are to be run; %d have passed before with these programs\n", r.wanted, len(r.done))
	clear(r.done)
	if err := r.prepare(ctx, jobs, r.out); err != nil {
		return false, err
	}
	r.work(ctx, jobs)
	if ctx.Err() != nil {
		return false, fmt.Errorf("%w: the next run goes on here", ctx.Err())
	}
	fmt.Fprintf(r.out, "%s\n", r.records.Table())
	if r.settings.Document != "" && complete(r.records) {
		err = os.WriteFile(r.settings.Document, []byte(document(r.records)), 0o644)
	}
	return r.failed == 0, err
}

// complete reports whether every cell has a record, but for those in guests, which take long.
func complete(records interop.Records) bool {
	for _, p := range interop.Peers {
		for _, c := range p.Cells() {
			if _, has := records[c.Name()]; !has && p.Where != interop.Guest {
				return false
			}
		}
	}
	return true
}

// load reads what is kept of former runs.
func (r *run) load(path string) error {
	r.records, r.done = interop.Records{}, map[string]bool{}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return r.records.Read(f)
}

// work runs jobs, some at a time, until all are done or the context ends.
func (r *run) work(ctx context.Context, jobs []job) {
	queue := make(chan job)
	var workers sync.WaitGroup
	for range max(r.settings.Jobs, 1) {
		workers.Go(func() {
			for j := range queue {
				if ctx.Err() == nil {
					r.one(ctx, j)
				}
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	workers.Wait()
}

// one runs a job. A cell without a record has failed, unless the run was ended.
func (r *run) one(ctx context.Context, j job) {
	limited, cancel := context.WithTimeout(ctx, r.settings.Limit)
	defer cancel()
	err := r.start(limited, j, r.note)
	if ctx.Err() != nil {
		return
	}
	for _, c := range j.cells {
		r.mu.Lock()
		done := r.done[c.Name()]
		r.mu.Unlock()
		if !done {
			r.note(interop.Record{Cell: c.Name(), Note: fmt.Sprintf("it ended without a result: %v", err)})
		}
	}
}

// note keeps a record and tells of it.
func (r *run) note(one interop.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.Build = r.build
	if r.records[one.Cell], r.done[one.Cell] = one, true; !one.Passed {
		r.failed++
	}
	verdict := "passed"
	if !one.Passed {
		verdict = "FAILED"
	}
	fmt.Fprintln(r.state, one.Line())
	fmt.Fprintf(r.out, "%3d of %d, %s, %d failed: %s %s\n", len(r.done), r.wanted, time.Since(r.begun).Round(time.Second), r.failed, verdict, one.Cell)
}
