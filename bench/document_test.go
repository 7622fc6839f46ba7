package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDocumentSurvivesJSON(t *testing.T) {
	d := sample()
	var b bytes.Buffer
	if err := d.Encode(&b); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"gbit_per_s", "vpn_cpu_s_per_gb", "p99_us", "cpu_flags", "measurements", "median"} {
		if !strings.Contains(b.String(), `"`+key+`"`) {
			t.Errorf("no %q in the JSON", key)
		}
	}
	got, err := Decode(&b)
	if err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, d)
	}
	for _, bad := range []string{"", "[]", `{"schema": 2}`, `{"schema": 1, "rounds": "x"}`} {
		if _, err := Decode(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// shapes counts the elements of an XML document by name, and fails if it is not well-formed.
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
	// Three charts: throughput and CPU of TCP, p99 under load; the plain link has no bar in that of the VPN's CPU.
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

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		args, err string
		tests     int
	}{
		{"", "", len(kinds)},
		{"-rounds 0", "at least one round", 0},
		{"-time 1ms", "100ms long at least", 0},
		{"-tests tcp1,loaded", "", 2},
		{"-tests tcp1,frob", `no test "frob": there are tcp1, `, 0},
	} {
		s := Settings{Rounds: 5, Time: time.Second}
		f := flag.NewFlagSet("", flag.ContinueOnError)
		s.Register(f)
		if err := f.Parse(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		got, err := s.chosen()
		if len(got) != tt.tests || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %d tests, %v", tt.args, len(got), err)
		}
	}
	if s := (&Settings{Only: "UDP, wire"}); !s.wants("culvert, UDP") || !s.wants(Rival) || s.wants("plain link") || !new(Settings).wants("plain link") {
		t.Error("-only chooses wrongly")
	}
}

func TestPaceLearns(t *testing.T) {
	p := newPace()
	p.plan("a", 4, time.Second)
	p.plan("b", 2, 10*time.Second)
	if got := p.left(); got != 24*time.Second {
		t.Errorf("at first %v", got)
	}
	p.did("a", 3*time.Second)
	p.did("a", 5*time.Second)
	if got := p.left(); got != 2*4*time.Second+20*time.Second {
		t.Errorf("with what is known of a: %v", got)
	}
	for range 3 {
		p.did("b", time.Second)
	}
	if got := p.left(); got != 8*time.Second {
		t.Errorf("with more of b than planned: %v", got)
	}
}
