package tun

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Repairs are logged in one line in ten seconds, with the number since the last line.
func TestRepairsAreLoggedThinly(t *testing.T) {
	var log logged
	p := repairs{log: log.logger()}
	for i := range 25 { // one each second
		p.who = by(os.Getpid())
		p.mended(2, 1)
		p.report(start.Add(time.Duration(i) * time.Second))
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "rules=1 routes=2") || !strings.Contains(lines[2], "rules=10 routes=20") {
		t.Errorf("logged\n%s", &log)
	}
	if want := fmt.Sprintf("(process %d)", os.Getpid()); !strings.Contains(lines[0], want) {
		t.Errorf("%s does not name %s", lines[0], want)
	}
	if due := p.due(); due != start.Add(30*time.Second) {
		t.Errorf("the rest is due at %v", due)
	}
	if p.report(start.Add(time.Minute)); !p.due().IsZero() {
		t.Error("something is due after all was logged")
	}
	if p.routes != 50 || p.rules != 25 {
		t.Errorf("%d routes and %d rules counted, want 50 and 25", p.routes, p.rules)
	}
}

// If systemd-networkd runs, which removes foreign rules and routes, the line names its settings.
func TestRepairsNameNetworkd(t *testing.T) {
	for _, runs := range []bool{false, true} {
		var log logged
		p := repairs{log: log.logger(), runtime: t.TempDir()}
		if runs {
			if err := os.MkdirAll(filepath.Join(p.runtime, "systemd", "netif"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		p.mended(1, 1)
		p.report(start)
		for _, want := range []string{"systemd-networkd", "ManageForeignRoutingPolicyRules=no", "ManageForeignRoutes=no"} {
			if strings.Contains(log.String(), want) != runs {
				t.Errorf("networkd runs: %v; logged %s", runs, &log)
			}
		}
	}
}

// systemd-networkd keeps its state in /run (file-hierarchy(7)).
func TestRouterLooksForNetworkdInRun(t *testing.T) {
	h, d := newGateway(t)
	if got := routerIn(t, h, RouteConfig{Device: d, Table: testTable}).repairs.runtime; got != "/run" {
		t.Errorf("it is looked for in %q", got)
	}
}

// A rule in front is logged once, whether ours were moved or not, and the memory of them is
// bounded.
func TestRulesInFrontAreNamedOnce(t *testing.T) {
	var log logged
	p := repairs{log: log.logger()}
	for range 3 {
		p.before(kernelRule{prio: 5, table: 100, action: unix.FR_ACT_TO_TBL}, false)
		p.before(kernelRule{prio: 6, table: 100, action: unix.FR_ACT_TO_TBL}, true)
	}
	if n := strings.Count(log.String(), "rule-in-front"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, &log)
	}
	if p.inFront != 4 { // one that stays, and one that came three times
		t.Errorf("%d counted, want 4", p.inFront)
	}
	for i := range 10 * maxNamed {
		p.before(kernelRule{prio: uint32(i)}, true)
	}
	if len(p.named) > maxNamed {
		t.Errorf("%d rules are remembered", len(p.named))
	}
}
