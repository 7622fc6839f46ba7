// Package mutate measures what the tests of a package assert. It changes one token of the package's
// code at a time, runs the package's short tests against the change, and counts the mutants that
// fail them. A mutant that passes every test survives: it names code whose effect no test asserts.
//
// Mutants are drawn with a seed, so that the same code and seed give the same mutants. No file of
// the tree is written: the changed file reaches the compiler by `go test -overlay`. A mutant that
// does not compile is replaced by the next one drawn. A mutant that does not end within the time
// limit, or that exceeds the memory limit, is killed.
//
// Survivors include equivalent mutants, which no test could kill: a score of 100% is not the aim.
package mutate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Settings are what a measurement is asked for.
type Settings struct {
	Dir      string   // where the go command runs; empty is the current folder
	Packages []string // patterns of the go command
	Seed     uint64
	Mutants  int           // for each package; at least 1
	Parallel int           // mutants under test at the same time; at least 1
	Limit    time.Duration // for the tests of one mutant; 0 is ten times the unchanged tests' time
	Floor    float64       // the least score, in percent
}

// Check returns an error that names the flag to change if the settings are not usable.
func (s Settings) Check() error {
	switch {
	case len(s.Packages) == 0:
		return errors.New("no package is named: use for example ./esp")
	case s.Mutants < 1:
		return fmt.Errorf("-n %d: at least 1", s.Mutants)
	case s.Parallel < 1:
		return fmt.Errorf("-parallel %d: at least 1", s.Parallel)
	case s.Limit < 0:
		return fmt.Errorf("-limit %v: must not be negative", s.Limit)
	case s.Floor < 0 || s.Floor > 100:
		return fmt.Errorf("-floor %v: from 0 to 100", s.Floor)
	}
	return nil
}

// Run measures the packages one after another. It writes the survivors of each to out and how far
// it is to progress. When ctx ends, Run stops the tests, removes its temporary files and returns
// the results so far with the context's error.
func Run(ctx context.Context, s Settings, out, progress io.Writer) ([]Result, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	list, err := packages(ctx, s.Dir, s.Packages)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var results []Result
	for _, p := range list {
		if !p.tested() {
			fmt.Fprintf(progress, "%s: no test files, not measured\n", p.ImportPath)
			continue
		}
		r, err := measure(ctx, s, p, dir, progress)
		if r != nil {
			results = append(results, *r)
			r.survivors(out)
		}
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// measure draws the mutants of a package and tests them. The result is nil if the unchanged package
// could not be tested.
func measure(ctx context.Context, s Settings, p listed, dir string, progress io.Writer) (*Result, error) {
	sites, err := p.sites()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "%s: %d places for a mutant; the unchanged tests run first\n", p.ImportPath, len(sites))
	l := &lab{pkg: p, dir: dir, limit: s.Limit}
	if err := l.baseline(ctx); err != nil {
		return nil, err
	}
	r := &Result{Package: p.ImportPath, Seed: s.Seed, root: p.Module.Dir}
	t := &trials{lab: l, order: draw(sites, s.Seed, p.ImportPath), want: s.Mutants, result: r, progress: progress}
	err = t.run(ctx, s.Parallel)
	r.sort()
	return r, err
}
