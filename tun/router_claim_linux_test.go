package tun

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
	"culvert/tun/protect"
)

// The device of a killed daemon is gone, with the routes to it. Its rules and fences stay, and
// nothing leaves in the clear.
func TestKilledDaemonFailsClosed(t *testing.T) {
	for name, table := range map[string]int{"in the same tables": testTable, "in others": 0} {
		t.Run(name, func(t *testing.T) {
			h, d := newGateway(t)
			kill(t, h, d, table)
			protected := []lookup{{to: "198.51.100.1"}, {to: "198.51.100.1", from: "10.1.0.1"}, {to: "198.51.100.1", from: "10.1.0.50", iif: "tlan"},
				{to: "2001:db8:77::1"}, {to: "2001:db8:77::1", from: "2001:db8:1::1"}}
			for _, l := range protected {
				if dev, _, _ := route(t, h, l); dev != "none" && dev != "lo" { // unreachable routes of IPv6 have the loopback device
					t.Errorf("%+v leaves by %s", l, dev)
				}
			}
			checkRoutes(t, h, []routeCase{
				{"LAN to LAN", lookup{to: "10.1.3.3", from: "10.1.0.50", iif: "tlan"}, "tlan", ""},
				{"ssh replies", lookup{to: "198.51.100.1", from: "192.0.2.1"}, "tout", ""},
			})
			// The next start removes them, for any networks of its own.
			d = openIn(t, h, Config{Name: "tn0"})
			r := routerIn(t, h, RouteConfig{Device: d, Table: testTable})
			r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"))
			checkRoutes(t, h, []routeCase{
				{"works", lookup{to: "10.2.0.9"}, "tn0", ""},
				{"free again", lookup{to: "198.51.100.1"}, "tout", ""},
				{"IPv6 free again", lookup{to: "2001:db8:77::1"}, "tout", ""},
			})
			if err := r.Close(false); err != nil {
				t.Fatal(err)
			}
			d.Close()
			if got := ours(t, h); len(got) != 0 {
				t.Errorf("left: %q", got)
			}
		})
	}
}

// kill leaves the rules and routes of a killed daemon whose remote network is the whole Internet.
func kill(t *testing.T, h *netlab.Host, d *Device, table int) {
	t.Helper()
	old := routerIn(t, h, RouteConfig{Device: d, Mark: protect.Mark{Value: 0x99, Mask: 0xff}, Table: table, Fence: true})
	old.mustBecome(policy("0.0.0.0/0", "10.1.0.0/16"), policy("::/0", "2001:db8:1::/64"))
	old.mu.Lock()
	old.closed = true
	old.mu.Unlock()
	old.watch.close()
	d.Close()
}

func TestTwoDaemonsInOneNamespace(t *testing.T) {
	h, d := newGateway(t)
	d2 := openIn(t, h, Config{Name: "tn1"})
	a := routerIn(t, h, RouteConfig{Device: d})
	b := routerIn(t, h, RouteConfig{Device: d2}) // before the first one has a network
	a.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"))
	b.mustBecome(policy("10.3.0.0/16", "10.1.0.0/16"))
	if a.Table() == b.Table() {
		t.Errorf("both use table %d", a.Table())
	}
	checkRoutes(t, h, []routeCase{
		{"the first's", lookup{to: "10.2.0.9"}, "tn0", ""},
		{"the second's", lookup{to: "10.3.0.9"}, "tn1", ""},
	})
	// A third one does not take their rules for those of a dead daemon.
	c := routerIn(t, h, RouteConfig{Device: openIn(t, h, Config{Name: "tn2"})})
	c.mustBecome(policy("10.4.0.0/16", "10.1.0.0/16"))
	checkRoutes(t, h, []routeCase{
		{"the first's", lookup{to: "10.2.0.9"}, "tn0", ""},
		{"the second's", lookup{to: "10.3.0.9"}, "tn1", ""},
		{"the third's", lookup{to: "10.4.0.9"}, "tn2", ""},
	})
	for table, want := range map[int]string{a.Table(): "in use", 254: "out of range: set [daemon] route_table", 252: "out of range: set [daemon] route_table", -1: "out of range: set [daemon] route_table"} {
		err := h.Do(func() error {
			_, err := NewRouter(RouteConfig{Device: d2, Mark: testMark, Table: table})
			return err
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("table %d: %v, want %q", table, err, want)
		}
	}
	// The end of one does not affect the other.
	if err := a.Close(false); err != nil {
		t.Fatal(err)
	}
	checkRoutes(t, h, []routeCase{
		{"the first's", lookup{to: "10.2.0.9"}, "tout", ""},
		{"the second's", lookup{to: "10.3.0.9"}, "tn1", ""},
		{"the second's marked", lookup{to: "10.3.0.9", mark: testMark.Value | 0x11}, "tout", ""},
	})
}

// Tables and priorities are taken up to the bounds that a refusal names, and not beyond.
func TestBoundsOfTheConfiguration(t *testing.T) {
	h, d := newGateway(t)
	const lastTable, lastPriority = 1<<31 - tablesEach, mainPriority - ruleCount
	for _, tt := range []struct {
		table, prio int
		ok          bool
	}{
		{255, 1, false}, {256, 1, true}, {lastTable, 1, true}, {lastTable + 1, 1, false},
		{testTable, -1, false}, {testTable, lastPriority, true}, {testTable, lastPriority + 1, false},
	} {
		var r *Router
		err := h.Do(func() (err error) {
			r, err = NewRouter(RouteConfig{Device: d, Mark: testMark, Table: tt.table, Priority: tt.prio})
			return err
		})
		if (err == nil) != tt.ok {
			t.Errorf("table %d, priority %d: %v", tt.table, tt.prio, err)
		}
		if err != nil {
			continue
		}
		tr := &testRouter{r, t, protect.NewSet()}
		tr.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"))
		checkRoutes(t, h, []routeCase{{"protected", lookup{to: "10.2.0.9", from: "10.1.0.1"}, "tn0", ""}})
		if err := r.Close(false); err != nil {
			t.Error(err)
		}
	}
}

// What killed daemons left goes as a whole: their rules, and the routes in the tables that the
// router is about to use.
func TestStaleRulesAndOccupiedTables(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Table: testTable, Fence: true})
	before := ours(t, h)
	k := kernelRule{prio: 77, action: unix.FR_ACT_NOP, table: testTable + 9, protocol: routeProtocol}
	fence := r.kernelFence(dest{table: 5, dst: netip.MustParsePrefix("10.9.0.0/16")})
	o := &others{t, h, kernelIn(t, h)}
	o.change(unix.RTM_NEWRULE, unix.NLM_F_CREATE, &k)
	o.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, &fence)
	if left := ours(t, h); len(left) != len(before)+2 {
		t.Fatalf("a killed daemon left %q", left)
	}
	r.mu.Lock()
	r.stale = []kernelRule{k}
	err := r.removeStale([]int{testTable + 5})
	r.mu.Unlock()
	if got := ours(t, h); err != nil || !slices.Equal(got, before) {
		t.Errorf("there are still %q, %v", got, err)
	}
}
