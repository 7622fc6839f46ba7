package guard

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
	"culvert/tun/protect"
)

// A change of the table by another program is undone within a second, and logged.
func TestPutBack(t *testing.T) {
	h := newHost(t)
	var out bytes.Buffer
	log := &locked{w: &out}
	cfg := testConfig()
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	set := protect.NewSet()
	g := openIn(t, h, cfg, set.Change([]protect.Policy{policy("a", pfx("10.1.0.0/24", "fd01::/64"), pfx("10.2.0.0/24", "fd02::/64"))}, nil))
	list := func() string { return strings.ReplaceAll(nft(t, h, "list", "ruleset"), second, "") }
	want := list()
	for i, change := range []string{
		"flush ruleset",
		"delete table inet TABLE",
		"flush table inet TABLE",
		"delete element inet TABLE group1-1 { 10.2.0.0/24 }",
		"delete element inet TABLE out6 { fd01::/64 }",
		"flush chain inet TABLE drop-in",
		"insert rule inet TABLE outbound accept",
		"add table inet TABLE { flags dormant; }",
	} {
		change = strings.ReplaceAll(change, "TABLE", g.tableNow())
		nft(t, h, change)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		start := time.Now()
		err := netlab.Until(ctx, change, func() bool { return g.Stats().Repairs == uint64(i+1) })
		cancel()
		if err != nil {
			t.Fatalf("%s: %v, %+v", change, err, g.Stats())
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: put back after %s", change, took)
		}
		if got := list(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", change, got, want)
		}
	}
	nft(t, h, "add table inet other; add chain inet other c; delete table inet other")
	if err := g.Apply(set.Change([]protect.Policy{policy("b", pfx("10.9.0.0/24"), pfx("10.8.0.0/24"))}, nil)); err != nil {
		t.Fatal(err)
	}
	g.inspect()
	g.inspect()
	if n := g.Stats().Repairs; n != 8 {
		t.Errorf("%d repairs, want 8: others' tables and our own changes are no reason", n)
	}
	if text := log.String(); strings.Count(text, "guard-repaired") != 1 || !strings.Contains(text, "by=nft") {
		t.Errorf("the log is %q", text)
	}
}

// The check of every minute finds a change without a notice.
func TestInspect(t *testing.T) {
	h := newHost(t)
	g := openIn(t, h, testConfig(), both())
	g.inspect()
	g.watch.close()
	g.watch = &watcher{guard: g, file: os.NewFile(^uintptr(0), ""), changed: make(chan string, 1), done: make(chan struct{})}
	list := func() string { return strings.ReplaceAll(nft(t, h, "list", "ruleset"), second, "") }
	want := list()
	for i, change := range []string{"flush ruleset", "flush chain inet TABLE drop-out", "add table inet TABLE { flags dormant; }"} {
		nft(t, h, strings.ReplaceAll(change, "TABLE", g.tableNow()))
		g.inspect()
		if got := list(); got != want || g.Stats().Repairs != uint64(i+1) {
			t.Errorf("%s: %d repairs, the tables are\n%s", change, g.Stats().Repairs, got)
		}
		g.inspect() // notes the layout
	}
}
