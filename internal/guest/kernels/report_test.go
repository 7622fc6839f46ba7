package kernels

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	wanted := []suite{{pkg: "tun"}, {pkg: "tun/guard"}, {pkg: "dataplane"}}
	var out strings.Builder
	if report(&out, "Linux 1", wanted, parsed(t, spoken).outcomes) {
		t.Error("it is reported as good")
	}
	want := `
== Linux 1
tun                            1 passed, 1 failed, 1 skipped, exit status 1
    skipped TestB/x: no such device: for this kernel
    skipped TestC: --- PASS: TestFake (0.00s)
    FAILED TestB/y
        without an end of line
            b_test.go:9: got 1
    without a result: 
        FAIL
tun/guard                      0 passed, 0 failed, 0 skipped, and then the guest ended
    without a result: TestD
        panic: killed
dataplane                    not run
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// It is good only if every suite was run, ended and had tests.
func TestReportIsGood(t *testing.T) {
	const good = "\x02suite tun\n\x16=== RUN   TestA\n\x16--- PASS: TestA (0.00s)\n\x02end 0\n"
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"passed", good, true},
		{"failed", strings.Replace(good, "end 0", "end 2", 1), false},
		{"no end", strings.Replace(good, "\x02end 0\n", "", 1), false},
		{"no test", "\x02suite tun\n\x02end 0\n", false},
		{"not run", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if got := report(&out, "Linux 1", []suite{{pkg: "tun"}}, parsed(t, tt.text).outcomes); got != tt.want {
				t.Errorf("%v, want %v:\n%s", got, tt.want, out.String())
			}
		})
	}
}
