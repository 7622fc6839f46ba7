package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

// fakeGuard stands for the guard in the kernel.
type fakeGuard struct {
	*fakeParts
	whole, changes []protect.Change
	owners         [][]protect.ID
	drops          map[protect.ID]guard.Drops
	closed         bool

	err, attributeErr error
}

func (g *fakeGuard) Apply(c protect.Change) error {
	defer g.note("guard")()
	g.changes = append(g.changes, c)
	return g.err
}

func (g *fakeGuard) Attribute(o *protect.Owners) error {
	g.owners = append(g.owners, slices.Clone(o.Policies()))
	return g.attributeErr
}

func (g *fakeGuard) Counted() (guard.Stats, map[protect.ID]guard.Drops) {
	return guard.Stats{Out: 1, In: 2, ICMP: 3, Repairs: 4}, g.drops
}

func (g *fakeGuard) Close() error { g.closed = true; return nil }

// withGuard gives a daemon a guard that is not up yet.
func withGuard(d *Daemon, f *fakeParts) *fakeGuard {
	g := &fakeGuard{fakeParts: f}
	d.guard = &guardPart{open: func(whole protect.Change) (kernelGuard, error) {
		defer f.note("guard-open")()
		g.whole = append(g.whole, whole)
		return g, nil
	}}
	return g
}

// The guard is put up with all flows, follows the changes, and comes before the routes.
func TestGuardComesBeforeRoutes(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.took()
	g := withGuard(d, f)
	writeConfig(t, d, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "3"))
	reload(t, d)
	wantCalls(t, f, "policies +1 -0", "guard-open", "routes", "peers +1 -0")
	if len(g.whole) != 1 || len(g.whole[0].Groups) != 1 || len(g.whole[0].Groups[0].Added) != 2 {
		t.Errorf("it is put up with %+v, want both remote networks", g.whole)
	}
	writeConfig(t, d, peerText("a", "192.0.2.2", "2"))
	reload(t, d)
	wantCalls(t, f, "policies +0 -1", "guard", "routes", "peers +0 -1")
	if len(g.changes) != 1 || len(g.changes[0].Groups) != 1 || len(g.changes[0].Groups[0].Removed) != 1 {
		t.Errorf("the change is %+v", g.changes)
	}
	g.err = errors.New("no")
	writeConfig(t, d, peerText("b", "192.0.2.3", "3"))
	if _, err := d.Reload(context.Background(), forced); err == nil {
		t.Error("no error")
	}
	wantCalls(t, f, "policies +1 -1", "guard") // no route of what is not guarded
}

func reload(t *testing.T, d *Daemon) *control.Changes {
	t.Helper()
	c, err := d.Reload(context.Background(), forced)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReloadSaysWhatItOpens(t *testing.T) {
	d, _, log := testDaemon(t, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "3"), nil)
	writeConfig(t, d, peerText("a", "192.0.2.2", "2"))
	const want = "opened: traffic between 10.1.0.0/16 and 10.3.0.0/16 is no longer protected"
	if c := reload(t, d); c.Changes[len(c.Changes)-1] != want {
		t.Errorf("got %q", c.Changes)
	}
	if !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say so: %s", log)
	}
	if c := reload(t, d); len(c.Changes) != 0 {
		t.Errorf("an unchanged file changes %q", c.Changes)
	}
}

func TestGuardWhereThereIsNone(t *testing.T) {
	none := errors.New("guard: no nftables here")
	for _, tt := range []struct {
		mode    config.Guard
		probe   error
		on      bool
		state   string
		refused bool
		loud    bool
	}{
		{mode: config.GuardAuto, on: true, state: "on"},
		{mode: config.GuardAuto, probe: none, state: "none", loud: true},
		{mode: config.GuardRequire, on: true, state: "on"},
		{mode: config.GuardRequire, probe: none, refused: true},
		{mode: config.GuardOff, probe: none, state: "off"},
	} {
		var log bytes.Buffer
		c := &config.Daemon{TUN: "cv9", Guard: tt.mode, Mark: protect.DefaultMark, IKEPort: 500, NATPort: 4500}
		p, err := newGuardPart(c, func(gc guard.Config) (guard.Config, error) {
			if gc.Device != "cv9" || gc.Mark != protect.DefaultMark || len(gc.Ports) != 2 {
				t.Errorf("the guard is told %+v", gc)
			}
			return gc, tt.probe
		}, slog.New(slog.NewTextHandler(&log, nil)))
		if (err != nil) != tt.refused {
			t.Errorf("%s, %v: got error %v", tt.mode, tt.probe, err)
		}
		if tt.refused {
			if !errors.Is(err, none) || !strings.Contains(err.Error(), "require") {
				t.Errorf("the error is %v", err)
			}
			continue
		}
		st, _ := p.status()
		if p.on() != tt.on || st.State != tt.state || (st.Reason != "") != (tt.state == "none") {
			t.Errorf("%s, %v: got %+v, on %v", tt.mode, tt.probe, st, p.on())
		}
		if loud := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "no nftables here"); loud != tt.loud {
			t.Errorf("%s, %v: the log is %q", tt.mode, tt.probe, log.String())
		}
		opened := false
		p.open = func(protect.Change) (kernelGuard, error) { opened = true; return &fakeGuard{}, nil }
		if err := p.apply(protect.Change{}, func() protect.Change { return protect.Change{} }); err != nil || opened != tt.on {
			t.Errorf("%s, %v: opened %v, %v", tt.mode, tt.probe, opened, err)
		}
	}
}

// The guard counts for the children in the order of the files; without counters it works as well.
func TestGuardCountsByChild(t *testing.T) {
	d, f, log := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	g := withGuard(d, f)
	for i, step := range []struct {
		config string
		want   []string
	}{
		{peerText("b", "192.0.2.3", "3") + peerText("a", "192.0.2.2", "2"), []string{"b", "a"}},
		{peerText("a", "192.0.2.2", "2") + peerText("b", "192.0.2.3", "3"), []string{"a", "b"}}, // only the order
		{peerText("a", "192.0.2.2", "2"), []string{"a"}},
	} {
		writeConfig(t, d, step.config)
		reload(t, d)
		var want []protect.ID
		for _, peer := range step.want {
			want = append(want, protect.ID(f.named(peer, "lan")))
		}
		if len(g.owners) == 0 || !slices.Equal(g.owners[len(g.owners)-1], want) {
			t.Errorf("step %d: the owners are %v, want %v", i, g.owners, want)
		}
	}
	g.attributeErr = errors.New("no maps")
	writeConfig(t, d, peerText("a", "192.0.2.2", "4"))
	reload(t, d)
	if n := len(g.changes); n == 0 || !strings.Contains(log.String(), "guard-not-counting") {
		t.Errorf("%d changes; the log is %s", n, log)
	}
}

func TestGuardInStatusAndMetrics(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "5"), nil)
	g := withGuard(d, f)
	writeConfig(t, d, peerText("a", "192.0.2.2", "3")+peerText("b", "192.0.2.3", "5"))
	reload(t, d)
	f.status = []ike.PeerStatus{{Name: "a", Children: []ike.ChildStatus{{Name: "lan"}}}, {Name: "b", Children: []ike.ChildStatus{{Name: "lan"}}}}
	g.drops = map[protect.ID]guard.Drops{protect.ID(f.named("a", "lan")): {Out: 7}, 99: {Out: 8}}
	st, err := d.Status(context.Background())
	if want := (control.Guard{State: "on", Drops: control.GuardDrops{Out: 1, In: 2, ICMP: 3}, Repairs: 4}); err != nil || st.Guard != want {
		t.Errorf("got %+v, %v", st.Guard, err)
	}
	if a, b := st.Peers[0].Children[0].GuardDrops, st.Peers[1].Children[0].GuardDrops; a == nil || *a != (control.ChildGuardDrops{Out: 7}) || b != nil {
		t.Errorf("of the children: %v, %v", a, b)
	}
	w := httptest.NewRecorder()
	metricsServer(d.sample, d.log).Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"culvert_guard_up 1\n", `culvert_guard_drops_total{direction="out"} 1`, `culvert_guard_drops_total{direction="in"} 2`,
		`culvert_guard_drops_total{direction="icmp"} 3`, "culvert_guard_repairs_total 4\n",
		`culvert_child_guard_drops_total{child="lan",direction="out",peer="a"} 7`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in:\n%s", want, w.Body)
		}
	}
	if n := strings.Count(w.Body.String(), "\nculvert_child_guard_drops_total{"); n != 1 {
		t.Errorf("%d counters by child, want the one that is not zero", n)
	}
}
