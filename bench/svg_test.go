package bench

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// shapes returns the number of elements of an XML document by name. It must be well-formed.
func shapes(t *testing.T, text string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
}

func TestPlotIsWellFormed(t *testing.T) {
	var b strings.Builder
	if err := sample().Plot(&b); err != nil {
		t.Fatal(err)
	}
	// Three charts: throughput and CPU of TCP, p99 under load. The plain link has no VPN CPU.
	if n := shapes(t, b.String()); n["svg"] != 1 || n["g"] != 3 || n["rect"] != 1+3+2+3 || n["path"] != 8 {
		t.Errorf("elements %v", n)
	}
	for _, want := range []string{"prefers-color-scheme: dark", "a &lt;fast&gt; &amp; small CPU", `class="ours"`, "medians of 3 rounds"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	b.Reset()
	if err := new(Document).Plot(&b); err != nil || shapes(t, b.String())["svg"] != 1 {
		t.Errorf("of nothing: %v, %s", err, b.String())
	}
}

func TestPlotBreaksTheBarOfAnOutlier(t *testing.T) {
	d := &Document{}
	for i, v := range []float64{1, 2, 3, 500, 2, 1} {
		d.Summaries = append(d.Summaries, Summary{Test: tcp1, Subject: string(rune('a' + i)), Values: map[string]Stat{VPNCPU.Key: {v, v, v, 1}}})
	}
	var b strings.Builder
	if err := d.Plot(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), `class="break"`); n != 1 {
		t.Errorf("%d broken bars, want 1", n)
	}
	for _, want := range []string{fmt.Sprintf(`width="%.1f"`, float64(barWidth)), fmt.Sprintf(`width="%.1f"`, float64(barWidth)/3), "500.00"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}
