package verdict

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// now is the moment of the tests.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// A ruling is facts, and the verdict that they are to give.
type ruling struct {
	name string
	is   Peer
	want string // "LEVEL CODE child: text | remedy"; "": none
}

// wantRulings judges each of them by a rule.
func wantRulings(t *testing.T, by rule, list []ruling) {
	t.Helper()
	for _, r := range list {
		r.is.Now = now
		var got []string
		for _, v := range by(&r.is) {
			got = append(got, v.Level.String()+" "+string(v.Code)+" "+v.Child+": "+v.Text+" | "+v.Remedy)
		}
		if text := strings.Join(got, "\n"); text != r.want {
			t.Errorf("%s:\ngot  %s\nwant %s", r.name, text, r.want)
		}
	}
}

// TestJudge: the worst verdict comes first, of equal ones that of the earlier rule, and a child
// that an operator took down has none.
func TestJudge(t *testing.T) {
	if list := Judge(&Peer{Now: now, Up: true, Calls: true}); list != nil {
		t.Errorf("of a healthy peer: %+v", list)
	}
	p := Peer{
		Now: now, Up: true, Unreachable: "unreachable: x", ESPBlocked: true, Restarted: ago(time.Second),
		Children: []Child{{Name: "a", Failed: "f"}, {Name: "b", Wanted: true, Failed: "g"}, {Name: "c", Wanted: true, Failed: "h", Held: true}},
	}
	var got []string
	for _, v := range Judge(&p) {
		got = append(got, v.Level.String()+" "+string(v.Code)+" "+v.Child)
	}
	want := []string{"bad esp-blocked ", "bad child-down b", "warn unreachable ", "note peer-restarted ", "note child-down a"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestEveryRuleIsListed: a verdict of each code can be had from Judge. Codes are for programs, so
// they do not change.
func TestEveryRuleIsListed(t *testing.T) {
	codes := map[Code]bool{}
	for _, p := range every() {
		p.Now = now
		for _, v := range Judge(&p) {
			codes[v.Code] = true
		}
	}
	for _, c := range []Code{
		"unreachable", "port-4500-silent", "no-answer", "auth-silent", "refused", "begun-only", "nobody-calls", "in-doubt",
		"esp-blocked", "nothing-received", "source-not-covered", "dropping", "narrowed", "small-path", "loop",
		"churns", "peer-restarted", "child-down", "rekey-refused",
	} {
		if !codes[c] {
			t.Errorf("no peer gets %s", c)
		}
		delete(codes, c)
	}
	for c := range codes {
		t.Errorf("%s is not known here: add it to docs/verdicts.md as well", c)
	}
}
