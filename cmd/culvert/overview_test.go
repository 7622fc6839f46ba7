package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"culvert/internal/control"
)

// TestOverview compares the status for people with golden files, and no line is too wide.
func TestOverview(t *testing.T) {
	st := statusExample()
	st.Peers[0].Children[0].Wanted, st.Peers[0].Children[2].Wanted = true, false
	for name, how := range map[string]struct {
		show   choice
		colour bool
		width  int
	}{
		"overview-80.txt": {width: 80}, "overview.txt": {}, "overview-colour.txt": {colour: true, width: 80},
		"overview-down.txt": {show: choice{down: true}, width: 80}, "overview-limit.txt": {show: choice{limit: 2}, width: 80},
	} {
		got := overview(st, how.show, how.colour, how.width)
		wantGolden(t, "testdata/"+name, got)
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); how.width > 0 && !how.colour && n > how.width {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
			if !how.colour && strings.Contains(line, "\x1b") {
				t.Errorf("%s: escapes in %q", name, line)
			}
		}
	}
	if got := overview(&control.Status{}, choice{}, false, 80); got != "no peers are configured\n" {
		t.Errorf("no peers: got %q", got)
	}
}

// TestNeed: what is wanted and down comes first, then what has something wrong, then what may be
// down.
func TestNeed(t *testing.T) {
	up := func(edit func(p *control.Peer)) *control.Peer {
		p := &control.Peer{State: "established", Wanted: true, Children: []control.Child{{Name: "lan", State: "installed", Wanted: true}}}
		if edit != nil {
			edit(p)
		}
		return p
	}
	verdict := func(level string) func(p *control.Peer) {
		return func(p *control.Peer) { p.Verdicts = []control.Verdict{{Level: level, Text: "t", Child: "lan"}} }
	}
	for name, c := range map[string]struct {
		p     *control.Peer
		need  int
		lacks bool
		why   string
	}{
		"all is well":            {up(nil), needNone, false, ""},
		"rekeying":               {up(func(p *control.Peer) { p.State, p.Children[0].State = "rekeying", "rekeying" }), needNone, false, ""},
		"manual":                 {up(func(p *control.Peer) { p.State = "manual" }), needNone, false, ""},
		"a note":                 {up(verdict("note")), needNone, false, ""},
		"a warning":              {up(verdict("warn")), needSoon, false, "lan: t"},
		"bad":                    {up(verdict("bad")), needNow, false, "lan: t"},
		"down":                   {up(func(p *control.Peer) { p.State, p.Reason = "connecting", "r" }), needNow, true, "r"},
		"down and not wanted":    {&control.Peer{State: "down", Reason: "r"}, needDown, false, "r"},
		"taken down":             {&control.Peer{State: "down", Wanted: true, TakenDown: &control.Hold{}, Reason: "by root"}, needDown, false, "by root"},
		"a child is down":        {up(func(p *control.Peer) { p.Children[0].State, p.Children[0].Reason = "negotiating", "r" }), needNow, true, "lan: r"},
		"a child waits":          {up(func(p *control.Peer) { p.Children[0].State, p.Children[0].Wanted = "waiting", false }), needNone, false, ""},
		"a child was taken down": {up(func(p *control.Peer) { p.Children[0].State, p.Children[0].TakenDown = "down", &control.Hold{} }), needNone, false, ""},
	} {
		if need(c.p) != c.need || lacking(c.p) != c.lacks || whyNeeded(c.p) != c.why {
			t.Errorf("%s: %d, %v, %q", name, need(c.p), lacking(c.p), whyNeeded(c.p))
		}
	}
}

func TestMatches(t *testing.T) {
	for pattern, want := range map[string]bool{"office": true, "off*": true, "office#a*": true, "a*": false, "office#b": false} {
		if got := matches(pattern, &control.Peer{Name: "office", Party: "alice"}); got != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{{"abc", 0, "abc"}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"ab cd", 4, "ab…"}, {"äöüä", 3, "äö…"}} {
		if got := cut(c.text, c.width); got != c.want {
			t.Errorf("%q at %d: %q, want %q", c.text, c.width, got, c.want)
		}
	}
}
