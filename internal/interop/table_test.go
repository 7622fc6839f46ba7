package interop

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	cells := Peers[0].Cells()
	r := Records{}
	for i, c := range cells[:3] {
		r[c.Name()] = Record{Cell: c.Name(), Passed: i != 1, Seconds: 7, Sent: 500, Lost: uint64(i), ChildSAs: 2, IKESAs: 1, Note: "a note"}
	}
	lines := strings.Split(r.Table(), "\n")
	want := []string{
		"PASSED " + cells[0].Name() + " (7 s; 500 packets, 0 lost; 2 new Child SAs, 1 new IKE SAs; a note)",
		"FAILED " + cells[1].Name() + " (7 s; 500 packets, 1 lost; 2 new Child SAs, 1 new IKE SAs; a note)",
		"PASSED " + cells[2].Name() + " (7 s; 500 packets, 2 lost; 2 new Child SAs, 1 new IKE SAs; a note)",
		"2 of 3 cells passed",
	}
	for i, line := range want {
		if i >= len(lines) || lines[i] != line {
			t.Errorf("line %d is not %q:\n%s", i, line, strings.Join(lines, "\n"))
		}
	}
	if got := (Record{}).Figures(); got != "" {
		t.Errorf("figures without any: %q", got)
	}
}
