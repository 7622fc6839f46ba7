package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"culvert/internal/control"
)

// TestDropsCountLately: what was dropped within the last two spans counts, and what came before
// does not.
func TestDropsCountLately(t *testing.T) {
	var h health
	now := epoch
	look := func(after time.Duration, n, want uint64) {
		t.Helper()
		now = now.Add(after)
		if got := h.lately(7, "icv", n); got != want {
			t.Errorf("%d dropped: %d lately, want %d", n, got, want)
		}
		h.lately(8, "icv", 1)
		h.endSpan(now)
	}
	look(0, 5, 5)
	look(dropsSpan-1, 6, 6)
	look(1, 8, 8)           // the first span ends with 8
	look(dropsSpan, 9, 9)   // the second with 9: of the one before the first nothing is known
	look(dropsSpan, 9, 1)   // 8 were before the last two spans
	look(dropsSpan, 9, 0)   // nothing since
	look(time.Second, 2, 2) // another policy by the same number
	if got := h.lately(7, "replay", 3); got != 3 {
		t.Errorf("of another reason: %d", got)
	}
	if got := h.lately(7, "icv", 0); got != 0 {
		t.Errorf("of none: %d", got)
	}
}

// TestVerdictsAreToldOnce plays looks at a peer: each letter is the verdict of one look, a capital
// one is bad, n is a note, - is none. What is told is in the same places.
func TestVerdictsAreToldOnce(t *testing.T) {
	for looks, want := range map[string]string{
		"AAAA":          ".A..",
		"A-A-A":         ".....",
		"ABABAB":        "......",
		"AABB":          ".A.B",
		"AA---":         ".A..o",
		"AA--A":         ".A...",
		"AA----":        ".A..o.",
		"AA---AA":       ".A..o.A",
		"nnnn":          "....",
		"AAnnn":         ".A..o",
		"---":           "...",
		"AAB-A---":      ".A.....o",
		"AA---------AA": ".A..o.......A",
	} {
		var h health
		got := ""
		for _, c := range looks {
			p := control.Peer{Name: "a"}
			switch c {
			case 'n':
				p.Verdicts = []control.Verdict{{Code: "n", Level: "note"}}
			case '-':
			default:
				p.Verdicts = []control.Verdict{{Code: "n", Level: "note"}, {Code: string(c), Level: "bad"}}
			}
			mark := "."
			for _, told := range h.look([]control.Peer{p}) {
				if mark = told.Code; mark == "" {
					mark = "o"
				}
			}
			got += mark
		}
		if got != want {
			t.Errorf("%s: told %s, want %s", looks, got, want)
		}
	}
}

// TestHealthForgets: a peer that has no verdict and of which nothing was told takes no memory.
func TestHealthForgets(t *testing.T) {
	var h health
	bad := []control.Peer{{Name: "a", Verdicts: []control.Verdict{{Code: "x", Level: "warn", Child: "lan"}}}}
	for range toldAfter {
		h.look(bad)
	}
	if v := h.verdicts(); len(v) != 1 || v[0] != (heldVerdict{"a", "lan", "x", "warn"}) {
		t.Errorf("for metrics: %+v", v)
	}
	for range overAfter {
		h.look([]control.Peer{{Name: "a"}})
	}
	if len(h.peers) > 0 || len(h.verdicts()) > 0 {
		t.Errorf("%+v is kept", h.peers)
	}
	h.look(bad)
	if h.look(nil); len(h.peers) > 0 {
		t.Error("a peer that is not configured any more is kept")
	}
	party := []control.Peer{{Name: "a", Party: "p", Verdicts: bad[0].Verdicts}}
	if h.look(party); len(h.verdicts()) > 0 {
		t.Error("a party has a metric")
	}
}

// TestTell: the lines of the log, of which there is a bounded number.
func TestTell(t *testing.T) {
	var log bytes.Buffer
	d := &Daemon{log: slog.New(slog.NewTextHandler(&log, nil))}
	d.tell([]telling{{"a", control.Verdict{Code: "x", Child: "lan", Text: "it is so", Remedy: "do this"}}, {"b", control.Verdict{}}})
	for _, want := range []string{
		`level=WARN msg="it is so" event=verdict peer=a child=lan code=x remedy="do this"`,
		`level=INFO msg="nothing is known to be wrong any more" event=verdict-over peer=b`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	}
	log.Reset()
	var many []telling
	for i := range maxTold + 5 {
		many = append(many, telling{fmt.Sprint("p", i), control.Verdict{Code: "x", Text: "t"}})
	}
	d.tell(many)
	if n := strings.Count(log.String(), "\n"); n != maxTold+1 || !strings.Contains(log.String(), "peers=5") {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}
