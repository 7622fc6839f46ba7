package mutate

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"text/tabwriter"
)

// Result is what the mutants of a package came to.
type Result struct {
	Package   string
	Seed      uint64
	Killed    int // by a failed test
	Expired   int // by the time limit
	Invalid   int // did not compile, and counts for nothing
	Survivors []Survivor

	root string // the module's folder
}

// Survivor is a mutant that passed every test.
type Survivor struct {
	Mutant
	Unrun bool // no test runs the code
}

func (r *Result) add(m Mutant, o Outcome) {
	switch o {
	case Invalid:
		r.Invalid++
	case Killed:
		r.Killed++
	case Expired:
		r.Expired++
	case Survived, Unrun:
		r.Survivors = append(r.Survivors, Survivor{m, o == Unrun})
	}
}

// Mutants returns the number of mutants that compiled.
func (r *Result) Mutants() int { return r.Killed + r.Expired + len(r.Survivors) }

// Score returns the share of the mutants that did not survive, in percent. Without mutants it is
// 100.
func (r *Result) Score() float64 {
	if r.Mutants() == 0 {
		return 100
	}
	return 100 * float64(r.Killed+r.Expired) / float64(r.Mutants())
}

// unrun returns how many survivors are in code that no test runs.
func (r *Result) unrun() int {
	n := 0
	for _, s := range r.Survivors {
		if s.Unrun {
			n++
		}
	}
	return n
}

// sort orders the survivors by place.
func (r *Result) sort() {
	slices.SortFunc(r.Survivors, func(a, b Survivor) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.from, b.from))
	})
}

// survivors writes a line for each survivor.
func (r *Result) survivors(w io.Writer) {
	for _, s := range r.Survivors {
		file := s.File
		if rel, err := filepath.Rel(r.root, s.File); err == nil {
			file = rel
		}
		note := ""
		if s.Unrun {
			note = " (not run by the tests)"
		}
		fmt.Fprintf(w, "%s:%d:%d: %s%s\n", file, s.Line, s.Column, s.Change, note)
	}
}

// Table writes a line for each package. It reports whether every score reaches the floor.
func Table(w io.Writer, results []Result, floor float64) (bool, error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "package\tseed\tmutants\tkilled\tby the limit\tsurvived\tof these not run\tscore\t")
	ok := true
	for _, r := range results {
		note := ""
		if r.Score() < floor {
			note, ok = fmt.Sprintf("under %g%%", floor), false
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f%%\t%s\n", r.Package, r.Seed, r.Mutants(), r.Killed, r.Expired, len(r.Survivors), r.unrun(), r.Score(), note)
	}
	return ok, t.Flush()
}
