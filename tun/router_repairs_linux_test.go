package tun

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Of repairs there is one line in ten seconds, with all of them since the last.
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

// Where systemd-networkd runs, which removes what it did not make, the line names its settings.
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

// A rule in front is named once, whatever comes of it, and a memory of them is bounded.
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

// What was refused is tried again after a second, then ever less often, and at once when something
// changes.
func TestRetry(t *testing.T) {
	var r retry
	now, pauses := start, []time.Duration{}
	for range 9 {
		r.failed(now)
		pauses = append(pauses, r.at.Sub(now))
		if r.now(r.at.Add(-1), false) {
			t.Fatal("too early")
		}
		if now = r.at; !r.now(now, false) {
			t.Fatal("not when it is time")
		}
	}
	if pauses[0] != time.Second || pauses[3] != 8*time.Second || pauses[8] != time.Minute {
		t.Errorf("got pauses %v", pauses)
	}
	r.failed(now)
	if r.now(now.Add(time.Second/2), true) || !r.now(now.Add(time.Second), true) {
		t.Error("a change of the host's addresses must have it tried, but not more than once a second")
	}
	if r.now(now.Add(time.Hour), true) {
		t.Error("tried again although nothing was refused since")
	}
}

// Events beyond what is remembered have all compared.
func TestEventsAreBounded(t *testing.T) {
	r := &Router{table: first, plan: newPlan(nil, false)}
	var e events
	e.reset()
	for i := range 2 * maxEvents {
		k := kernelRoute{table: first + 1, dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
		m := k.append(nil, unix.RTM_DELROUTE, 0)
		complete(m, 0, 0)
		for m := range messages(m) {
			r.note(&e, m, nil)
		}
	}
	if len(e.routes) != maxEvents || !e.full() {
		t.Errorf("%d events are remembered of %d", len(e.routes), maxEvents)
	}
}

// Whatever is cut off or wrong in a message does no harm.
func TestHostileMessages(t *testing.T) {
	rule := kernelRule{prio: 7, src: netip.MustParsePrefix("10.0.0.0/8"), mark: 1, mask: 3, iif: "eth0", ipProto: 17, sport: portRange{1, 2}, action: unix.FR_ACT_GOTO, goTo: 9, table: 300}
	route := kernelRoute{table: 300, dst: netip.MustParsePrefix("2001:db8::/32"), metric: 1, kind: unix.RTN_UNICAST, oif: 3, via: netip.MustParseAddr("fe80::1"), src: netip.MustParseAddr("2001:db8::1")}
	for _, whole := range [][]byte{rule.append(nil, unix.RTM_NEWRULE, 0), route.append(nil, unix.RTM_NEWROUTE, 0)} {
		complete(whole, 0, 0)
		for n := range len(whole) {
			body := whole[min(unix.SizeofNlMsghdr, n):n]
			parseRule(body)
			parseRoute(body)
			parseAddr(body)
			parseLink(body)
			for m := range messages(whole[:n]) {
				t.Fatalf("%d of %d octets are a message: %v", n, len(whole), m)
			}
		}
		for i := range whole {
			for _, v := range []byte{0, 1, 3, 0xff} {
				b := append([]byte(nil), whole...)
				b[i] = v
				for m := range messages(b) {
					parseRule(m.body)
					parseRoute(m.body)
					parseAddr(m.body)
					_ = m.err()
				}
			}
		}
	}
	if got, ok := parseRule(rule.append(nil, unix.RTM_NEWRULE, 0)[unix.SizeofNlMsghdr:]); !ok || got != rule {
		t.Errorf("got %+v, want %+v", got, rule)
	}
	if got, ok := parseRoute(route.append(nil, unix.RTM_NEWROUTE, 0)[unix.SizeofNlMsghdr:]); !ok || got != route {
		t.Errorf("got %+v, want %+v", got, route)
	}
}
