package daemon

import (
	"context"
	"slices"
	"testing"

	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/control"
)

func TestExplain(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	established(t, f)
	f.events = []driver.Event{{At: epoch, Notice: ike.Notice{Child: "lan", Event: "child-up", Text: "it is up"}}}
	f.strangers = []driver.Stranger{
		{At: epoch, Times: 3, Refused: ike.Refused{Claims: "a", Event: "auth-failed", Text: "wrong key", Explain: []string{"theirs: a"}}},
		{At: epoch, Times: 5, Refused: ike.Refused{Claims: "b", Event: "auth-failed", Text: "wrong key"}},
		{At: epoch, Times: 1, Refused: ike.Refused{Event: "call-refused", Text: "no proposal"}},
	}
	lines, err := d.Explain(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a/lan: the peer granted 10.1.0.0/24 <-> 10.2.0.0/24 of 10.1.0.0/16 <-> 10.2.0.0/16; packets outside are refused",
		"  give both sides the same networks", "a is established", "a/lan is installed", "", "the last failure:", "  ours: x", "  theirs: y", "", "the last events:",
		"  " + epoch.Local().Format("2006-01-02 15:04:05") + " lan child-up: it is up", "", "refused calls that may have been of this peer; anybody can have made them:",
		"  " + epoch.Local().Format("2006-01-02 15:04:05") + " auth-failed, 3 in all: wrong key", "    theirs: a",
		"  " + epoch.Local().Format("2006-01-02 15:04:05") + " call-refused, 1 in all: no proposal"}
	if !slices.Equal(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
	if _, err := d.Explain(context.Background(), "x"); err == nil || err.(*control.Error).Code != 404 {
		t.Errorf("got %v, want no such peer", err)
	}
}
