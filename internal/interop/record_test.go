package interop

import (
	"reflect"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	r := Record{Cell: "x: a, b", Version: "1", Passed: true, Seconds: 3, Sent: 100, Lost: 1, ChildSAs: 2, IKESAs: 1, Note: "n\n", Build: "c0ffee"}
	line := r.Line()
	if strings.Contains(line, "\n") {
		t.Errorf("%q has several lines", line)
	}
	for _, text := range []string{line, line + "\r\n", "=== RUN" + line + "\n"} {
		if got, ok := ParseLine(text); !ok || got != r {
			t.Errorf("%q: got %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", Mark, Mark + "{}", line[:len(line)-1], strings.TrimPrefix(line, Mark)} {
		if got, ok := ParseLine(text); ok {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

// The newest record of a cell counts, and what is written is read again.
func TestRecordsAreKept(t *testing.T) {
	old, now, other := Record{Cell: "b"}, Record{Cell: "b", Passed: true}, Record{Cell: "a"}
	r := Records{}
	if err := r.Read(strings.NewReader(old.Line() + "\nanything\n" + now.Line() + "\n" + other.Line())); err != nil {
		t.Fatal(err)
	}
	if want := (Records{"a": other, "b": now}); !reflect.DeepEqual(r, want) {
		t.Errorf("got %v, want %v", r, want)
	}
}
