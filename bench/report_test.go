package bench

import (
	"strings"
	"testing"
)

func TestSummarizeTakesRatiosRoundByRound(t *testing.T) {
	var ms []Measurement
	for round, slow := range []float64{1, 2, 10} { // the machine slows down; the ratio does not change
		ms = append(ms,
			Measurement{Subject: "base", Round: round, Test: "t", GbitPerSecond: 4 / slow, CPUPerGB: 2 * slow, MachineCPUPerGB: 4 * slow},
			Measurement{Subject: "ours", Round: round, Test: "t", GbitPerSecond: 8 / slow, CPUPerGB: 1 * slow, MachineCPUPerGB: 3 * slow})
	}
	s := Summarize(ms, "base")
	if len(s) != 2 || s[1].Subject != "ours" {
		t.Fatalf("got %+v", s)
	}
	if r := s[1].GbitRatio; r != (Stat{2, 2, 2}) {
		t.Errorf("throughput ratio %+v, want 2", r)
	}
	if r := s[1].CPURatio; r != (Stat{0.5, 0.5, 0.5}) {
		t.Errorf("CPU ratio %+v, want 0.5", r)
	}
	if g := s[1].Gbit; g != (Stat{4, 0.8, 8}) {
		t.Errorf("throughput %+v, want the median 4 of 0.8 to 8", g)
	}
	var b strings.Builder
	if err := Table(&b, s, "base"); err != nil || !strings.Contains(b.String(), "| ours") {
		t.Errorf("table %q, %v", b.String(), err)
	}
}

func TestStatOfAnEvenNumber(t *testing.T) {
	if s := stat([]float64{4, 1, 3, 2}); s != (Stat{2.5, 1, 4}) {
		t.Errorf("got %+v", s)
	}
}
