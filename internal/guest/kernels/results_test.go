package kernels

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testsOf returns the text of a package's tests.
func testsOf(t *testing.T, pkg string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", filepath.FromSlash(pkg), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

// spoken is an output of a guest with two suites, of which the second one never ends.
const spoken = "\x02suite tun\n" +
	"\x16=== RUN   TestA\n" +
	"\x16--- PASS: TestA (0.00s)\n" +
	"\x16=== RUN   TestB\n" +
	"\x16=== RUN   TestB/x\n" +
	"    b_test.go:7: no such device:\n" +
	"        for this kernel\n" +
	"\x16    --- SKIP: TestB/x (0.00s)\n" +
	"\x16=== RUN   TestB/y\n" +
	"without an end of line\x16=== NAME  TestB/y\n" +
	"    b_test.go:9: got 1\n" +
	"\x16    --- FAIL: TestB/y (0.00s)\n" +
	"\x16--- FAIL: TestB (0.00s)\n" +
	"\x16=== RUN   TestC\n" +
	"    c_test.go:1: --- PASS: TestFake (0.00s)\n" +
	"\x16--- SKIP: TestC (0.00s)\n" +
	"\x16=== NAME  \n" +
	"FAIL\n" +
	"\x02end 1\n" +
	"\x02suite tun/guard\n" +
	"\x16=== RUN   TestD\n" +
	"panic: killed"

func parsed(t *testing.T, text string) *reader {
	t.Helper()
	var r reader
	if err := r.parse(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return &r
}

func TestParse(t *testing.T) {
	r := &reader{}
	var seen []string
	r.progress = func(pkg string, got result) { seen = append(seen, fmt.Sprint(pkg, " ", got.verdict, " ", got.name)) }
	if err := r.parse(strings.NewReader(spoken)); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(seen, ", "), "tun PASS TestA, tun SKIP TestB/x, tun FAIL TestB/y, tun FAIL TestB, tun SKIP TestC"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(r.outcomes) != 2 {
		t.Fatalf("%d suites", len(r.outcomes))
	}
	first, second := r.outcomes[0], r.outcomes[1]
	if first.status != 1 || !first.failed() || first.count("PASS") != 1 || first.count("FAIL") != 1 || first.count("SKIP") != 1 {
		t.Errorf("got %+v", first)
	}
	if got := first.leaves("FAIL"); len(got) != 1 || got[0].name != "TestB/y" || got[0].output != "without an end of line\n    b_test.go:9: got 1\n" {
		t.Errorf("failed: %+v", got)
	}
	skipped := first.leaves("SKIP")
	if len(skipped) != 2 || skipped[0].reason() != "no such device: for this kernel" || skipped[1].reason() != "--- PASS: TestFake (0.00s)" {
		t.Errorf("skipped: %+v", skipped)
	}
	if second.status != -1 || !second.failed() || second.output["TestD"] != "panic: killed\n" {
		t.Errorf("got %+v", second)
	}
}

// A suite passes by its exit status alone, and a test that writes without an end costs no memory.
func TestOutcomeIsTheExitStatus(t *testing.T) {
	r := parsed(t, "\x02suite tun\n\x16=== RUN   TestA\n"+strings.Repeat(strings.Repeat("x", 1023)+"\n", 2<<10)+"unfinished\x02end 0\n")
	if o := r.outcomes[0]; o.failed() || len(o.output["TestA"]) > maxOutput || len(o.output["TestA"]) < maxOutput/2 {
		t.Errorf("status %d, %d octets", o.status, len(o.output["TestA"]))
	}
}
