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
	lines, err := d.Explain(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a is established", "a/lan is installed", "", "the last failure:", "  ours: x", "  theirs: y", "", "the last events:",
		"  " + epoch.Local().Format("2006-01-02 15:04:05") + " lan child-up: it is up"}
	if !slices.Equal(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
	if _, err := d.Explain(context.Background(), "x"); err == nil || err.(*control.Error).Code != 404 {
		t.Errorf("got %v, want no such peer", err)
	}
}
