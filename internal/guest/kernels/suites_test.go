package kernels

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestScript(t *testing.T) {
	got := script([]suite{{pkg: "tun/guard"}, {pkg: "internal/e2e", run: "^(TestX)$"}}, "-test.short")
	for _, want := range []string{
		"echo '\x02suite tun/guard'\n/tests/tun-guard.test -test.v=test2json -test.run '.' -test.short\necho '\x02end '$?\n",
		"echo '\x02suite internal/e2e'\n/tests/internal-e2e.test -test.v=test2json -test.run '^(TestX)$' -test.short\necho '\x02end '$?\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

func TestExactly(t *testing.T) {
	p := regexp.MustCompile(exactly("TestA", "TestB"))
	for name, want := range map[string]bool{"TestA": true, "TestB": true, "TestAB": false, "XTestA": false} {
		if p.MatchString(name) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
}

// The suites are packages of this module, and the tests that are chosen by name exist.
func TestSuitesExist(t *testing.T) {
	for _, s := range suites {
		text := testsOf(t, s.pkg)
		if !strings.Contains(text, "\nfunc Test") {
			t.Errorf("%s has no tests", s.pkg)
		}
		for name := range strings.SplitSeq(strings.Trim(s.run, "^()$"), "|") {
			if name != "" && !strings.Contains(text, "\nfunc "+name+"(") {
				t.Errorf("%s has no %s", s.pkg, name)
			}
		}
	}
	if !slices.ContainsFunc(suites, func(s suite) bool { return s.run != "" }) {
		t.Error("no tests are chosen by name")
	}
}
