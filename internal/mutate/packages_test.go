package mutate

import (
	"strings"
	"testing"
)

func TestRunRefuses(t *testing.T) {
	needBuild(t)
	dir := module(t, map[string]string{
		"bad/bad.go": "package bad\n\nfunc F() {}\n", "bad/bad_test.go": "package bad\n\nimport \"testing\"\n\nfunc Test(t *testing.T) { t.Fatal(\"it fails anyway\") }\n",
		"odd/odd.go": "package odd\n\nfunc F() { return 1 }\n", "odd/odd_test.go": "package odd\n",
	})
	for pattern, want := range map[string]string{"./bad": "it fails anyway", "./odd": "too many return values", "./none": "go list"} {
		s := Settings{Dir: dir, Packages: []string{pattern}, Mutants: 1, Parallel: 1}
		if r, err := Run(t.Context(), s, new(strings.Builder), new(strings.Builder)); err == nil || !strings.Contains(err.Error(), want) || len(r) > 0 {
			t.Errorf("%s: got %v, %v; want an error with %q", pattern, r, err, want)
		}
	}
}
