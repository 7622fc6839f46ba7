package driver

import (
	"context"
	"fmt"
	"testing"

	"culvert/ike"
)

// A snapshot of many peers is asked for in parts.
func TestStatus(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		peers, counters, err := r.Status(ctx)
		if err != nil || len(peers) != 1024 || peers[0].Name != "right" || peers[1023].Name != "1023" || counters == nil {
			t.Errorf("got %v, %v, %v", peers, counters, err)
		}
		r.want("status", "wake")
		if r.engine.parts != 4 {
			t.Errorf("asked for 1024 peers in %d parts, want 4", r.engine.parts)
		}
		if st, ok, err := r.StatusOf(ctx, "right"); st.Name != "right" || !ok || err != nil {
			t.Errorf("got %v, %t, %v", st, ok, err)
		}
		if _, ok, err := r.StatusOf(ctx, "nobody"); ok || err != nil {
			t.Errorf("got %t, %v", ok, err)
		}
		r.engine.parts = 0
		if list, _, err := r.StatusOfAll(ctx, "office"); len(list) != 1000 || list[999].Party != "999" || err != nil || r.engine.parts != 4 {
			t.Errorf("got %d parties in %d parts, %v", len(list), r.engine.parts, err)
		}
		if list, _, err := r.StatusOfAll(ctx, "nobody"); len(list) != 0 || err != nil {
			t.Errorf("got %v, %v", list, err)
		}
	})
}

// Gauges come in parts as well, all in the same memory, and other commands are handled between
// them.
func TestGauges(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.engine.counters = map[string]uint64{"ike_malformed": 3}
		var names []string
		memory := map[*ike.PeerGauges]bool{}
		counters, err := r.Gauges(ctx, func(g *ike.Gauges) {
			memory[&g.Peers[0]] = true
			for i := range g.Peers {
				if names = append(names, g.Peers[i].Name); g.Children[i].Name != "of "+g.Peers[i].Name {
					t.Errorf("%s has the child %s", g.Peers[i].Name, g.Children[i].Name)
				}
			}
			// Were this the control goroutine, no command would be handled meanwhile.
			if _, _, err := r.StatusOf(ctx, "right"); err != nil {
				t.Error(err)
			}
		})
		if err != nil || len(names) != 1024 || names[0] != "right" || names[1023] != "1023" || r.engine.parts != 4 {
			t.Errorf("got %d peers in %d parts, %v", len(names), r.engine.parts, err)
		}
		if len(memory) != 1 {
			t.Errorf("%d pieces of memory for the parts", len(memory))
		}
		for name, n := range map[string]uint64{"ike_malformed": 3, "ike_panic": 0, "ike_dropped_queue_init": 0} {
			if got, ok := counters[name]; !ok || got != n {
				t.Errorf("%s is %d, %t", name, got, ok)
			}
		}
	})
}

// After the end there is no snapshot.
func TestStatusAfterTheEnd(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		if err := r.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		_, _, status := r.Status(ctx)
		_, gauges := r.Gauges(ctx, func(*ike.Gauges) { t.Error("a part after the end") })
		if got := fmt.Sprint(status, gauges); got != fmt.Sprint(ErrStopped, ErrStopped) {
			t.Errorf("got %s", got)
		}
	})
}
