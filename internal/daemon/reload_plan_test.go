package daemon

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"culvert/internal/control"
)

// TestDryRun: the plan names each peer that changes and the flows that are opened and closed, and
// nothing is changed.
func TestDryRun(t *testing.T) {
	a, b, c := peerText("a", "192.0.2.2", "2"), peerText("b", "192.0.2.3", "3"), peerText("c", "192.0.2.4", "4")
	d, f, log := testDaemon(t, a+b+c, nil)
	f.took()
	log.Reset()
	writeConfig(t, d, strings.Replace(a, "psk =", "dpd = \"5s\"\npsk =", 1)+b+peerText("d", "192.0.2.6", "6"))
	out, err := d.Reload(context.Background(), control.ReloadHow{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`peer "c" is removed: its SAs are deleted`, `peer "a" changes (dpd): its SAs stay`, `peer "d" is added`,
		"opened: traffic between 10.1.0.0/16 and 10.4.0.0/16 is no longer protected", "closed: traffic between 10.1.0.0/16 and 10.6.0.0/16 is protected now",
	}
	if !slices.Equal(out.Changes, want) || out.Summary != "1 added, 1 changed, 1 removed, 1 kept as they are" {
		t.Errorf("got %q, %s", out.Changes, out.Summary)
	}
	wantCalls(t, f)
	if d.config().Peer("d") != nil || log.Len() > 0 {
		t.Errorf("something was done; the log has %s", log)
	}
	real, err := d.Reload(context.Background(), control.ReloadHow{})
	if err != nil || !slices.Equal(real.Changes, want[:4]) || real.Summary != out.Summary {
		t.Errorf("then really: %+v, %v", real, err)
	}
}

// TestFewPeersLeft: files that remove more than half of the peers may be incomplete, and change
// nothing unless that is forced.
func TestFewPeersLeft(t *testing.T) {
	a, b, c := peerText("a", "192.0.2.2", "2"), peerText("b", "192.0.2.3", "3"), peerText("c", "192.0.2.4", "4")
	for doc, refused := range map[string]bool{"": true, a: true, a + b: false, peerText("d", "192.0.2.5", "5"): true, a + b + c: false} {
		d, f, log := testDaemon(t, a+b+c, nil)
		f.took()
		writeConfig(t, d, doc)
		for _, dry := range []bool{true, false} {
			_, err := d.Reload(context.Background(), control.ReloadHow{DryRun: dry})
			if refused != (err != nil) {
				t.Fatalf("%q: %v", doc, err)
			}
			if !refused {
				continue
			}
			e, ok := err.(*control.Error)
			if !ok || e.Code != http.StatusConflict || !strings.Contains(e.Text, " of 3 peers: if that is meant, and no file is missing or cut off, reload with --force; nothing was changed") || len(e.Details) < 2 {
				t.Errorf("%q: %+v", doc, err)
			}
			wantCalls(t, f)
			if len(d.config().Peers) != 3 || strings.Contains(log.String(), "--force") == dry {
				t.Errorf("%q: %d peers are left; the log has %s", doc, len(d.config().Peers), log)
			}
		}
		if _, err := d.Reload(context.Background(), forced); err != nil || len(d.config().Peers) != strings.Count(doc, "[[peer]]") {
			t.Errorf("%q, forced: %v, %d peers", doc, err, len(d.config().Peers))
		}
	}
}

// TestSuspicious: half of the peers may go.
func TestSuspicious(t *testing.T) {
	for _, c := range []struct {
		f    fates
		want bool
	}{{fates{}, false}, {fates{before: 1, removed: 1}, true}, {fates{before: 4, removed: 2}, false}, {fates{before: 4, removed: 3}, true}, {fates{before: 4, added: 9}, false}} {
		if got := c.f.suspicious(); got != c.want {
			t.Errorf("%+v: %v", c.f, got)
		}
	}
}
