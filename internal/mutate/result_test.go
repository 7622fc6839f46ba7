package mutate

import (
	"strings"
	"testing"
)

func TestResult(t *testing.T) {
	r := Result{Package: "m/p", Seed: 3, root: "/m"}
	a := Mutant{File: "/m/p/a.go", Line: 4, Column: 2, Change: "`<` -> `<=`", from: 40}
	b, c := a, a
	b.Line, b.from = 2, 20
	c.File = "/m/p/b.go"
	r.add(c, Unrun)
	r.add(a, Survived)
	r.add(b, Survived)
	r.add(a, Invalid)
	for range 7 {
		r.add(a, Killed)
	}
	r.add(a, Expired)
	r.add(a, Expired)
	r.sort()
	var out strings.Builder
	r.survivors(&out)
	want := "p/a.go:2:2: `<` -> `<=`\np/a.go:4:2: `<` -> `<=`\np/b.go:4:2: `<` -> `<=` (not run by the tests)\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	if r.Mutants() != 12 || r.Score() != 75 || r.Invalid != 1 {
		t.Errorf("%d mutants, score %v, %d invalid", r.Mutants(), r.Score(), r.Invalid)
	}
	for floor, want := range map[float64]bool{0: true, 75: true, 75.1: false} {
		out.Reset()
		ok, err := Table(&out, []Result{r, {Package: "m/q"}}, floor)
		if ok != want || err != nil || strings.Contains(out.String(), "under 75.1%") == want {
			t.Errorf("floor %v: %v, %v\n%s", floor, ok, err, out.String())
		}
	}
	row := strings.Fields(strings.Split(out.String(), "\n")[1])
	if got := strings.Join(row[:8], " "); !strings.HasPrefix(got, "m/p 3 12 7 2 3 1 75.0%") {
		t.Errorf("row %q", got)
	}
}
