package bench

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Several numbers of cores give curves, from the smallest number to the largest, and the bars are
// of the largest.
func TestPlotByCores(t *testing.T) {
	var d Document
	for _, n := range []int{4, 1, 2} {
		for i, subject := range []string{Rival, "culvert, UDP"} {
			v := float64(n * (i + 1))
			d.Measurements = append(d.Measurements, Measurement{Test: tcp1, Subject: subject, Cores: n, Values: map[string]float64{Throughput.Key: v}})
		}
	}
	d.Summaries = Summarize(d.Measurements, Rival)
	for _, s := range d.Summaries {
		if r := s.Ratios[Rival][Throughput.Key].Median; s.Subject != Rival && r != 2 {
			t.Errorf("%d cores: ratio %v, want that of the same number of cores", s.Cores, r)
		}
	}
	var out strings.Builder
	if err := d.Plot(&out); err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(strings.NewReader(out.String())); ; {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	top, bottom := titleHeight, titleHeight+curveHeight
	for _, want := range []string{
		"by cores",
		fmt.Sprintf("M0.0 %d.0L%d.0 %d.0L%d.0 %d.0", bottom-curveHeight/4, curveWidth/2, bottom-curveHeight/2, curveWidth, top),
		fmt.Sprintf("M0.0 %d.0L%d.0 %d.0L%d.0 %d.0", bottom-curveHeight/8, curveWidth/2, bottom-curveHeight/4, curveWidth, bottom-curveHeight/2),
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "<rect class=\"ours\""); n != 1 {
		t.Errorf("%d bars, want that of four cores", n)
	}
	var table strings.Builder
	if err := Tables(&table, d.Summaries); err != nil || !strings.Contains(table.String(), "| cores |") {
		t.Errorf("%v: %s", err, table.String())
	}
}

func TestLabels(t *testing.T) {
	at := func(y float64) curve { return curve{points: []point{{0, 0}, {1, y}}} }
	if got := fmt.Sprint(labels([]curve{at(100), at(98), at(10)})); got != "[116 102 14]" {
		t.Errorf("labels at %s", got)
	}
}
