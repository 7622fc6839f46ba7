package daemon

import (
	"bytes"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"culvert/internal/config"
	"culvert/tun/protect"
)

// The last log line.
func TestLeave(t *testing.T) {
	for _, tt := range []struct {
		name  string
		guard *guardPart
		want  string
	}{
		{"it stands", &guardPart{g: &fakeGuard{}}, "the guard stays: protected traffic is held back until culvert runs again; `culvert release --tun cv9` opens it"},
		{"none", &guardPart{reason: "no nftables"}, "the routes that make protected networks unreachable stay: "},
		{"off", &guardPart{mode: config.GuardOff}, "the routes that make protected networks unreachable stay: "},
		{"ended before it stood", &guardPart{}, ""},
	} {
		var log bytes.Buffer
		p := &parts{log: slog.New(slog.NewTextHandler(&log, nil)), guard: tt.guard}
		if err := p.leave("cv9", false); err != nil {
			t.Error(err)
		}
		if got := log.String(); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if g, ok := tt.guard.g.(*fakeGuard); ok && !g.closed {
			t.Errorf("%s: it is watched on", tt.name)
		}
	}
}

// The guard that is raised without a daemon protects what the daemon's protects, in the same order.
func TestRaisedGuardIsTheDaemons(t *testing.T) {
	doc := "[daemon]\nbypass = [\"10.8.0.0/16\"]\n" + peerText("a", "192.0.2.2", "2") + "bypass = [\"10.2.9.0/24\"]\n" + peerText("b", "192.0.2.3", "3") + "routes = \"none\"\n" +
		officeText() + strings.Replace(peerText("c", "192.0.2.4", "0"), "10.0.0.0/16", "10.0.0.0/8", 1) + manualText("192.0.2.9", "01")
	d, f, _ := testDaemon(t, doc, nil)
	g := withGuard(d, f)
	reload(t, d)
	raised, policies := flowsOf(d.config())
	if got, want := shown(raised.Whole()), shown(g.whole[0]); !slices.Equal(got, want) {
		t.Errorf("raised is\n%s\nthe daemon's is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	names := func(set *protect.Set, order iter.Seq[protect.ID]) (names []string) {
		o := set.Owners(order)
		for _, id := range o.Policies() {
			names = append(names, o.Name(id))
		}
		return names
	}
	want := []string{"a/lan", "office/lan", "c/lan", "bench/man"}
	if got := names(raised, policies.inOrder(d.config())); !slices.Equal(got, want) {
		t.Errorf("raised, it counts for %q", got)
	}
	if got := names(d.flows, d.policies.inOrder(d.config())); !slices.Equal(got, want) {
		t.Errorf("with the daemon it counts for %q", got)
	}
}

// shown returns lines with the flows of a change that holds all.
func shown(whole protect.Change) (lines []string) {
	for _, g := range whole.Groups {
		lines = append(lines, fmt.Sprint(g.Local, g.Added))
		for p, k := range g.Set {
			lines = append(lines, fmt.Sprint(g.Local, p, k))
		}
	}
	slices.Sort(lines)
	return lines
}
