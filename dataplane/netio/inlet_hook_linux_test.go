package netio

import (
	"slices"
	"testing"

	"culvert/dataplane/netio/clsact"
)

// TestReleaseFilters: filters of tc are removed by the name of their owner, and one that lives puts
// its own there again.
func TestReleaseFilters(t *testing.T) {
	p := newRingPairBy(t, 2, true)
	p.live(t, 1000)
	if got := p.netB.FastPath().In; got != "on: nn0 by clsact" {
		t.Errorf("packets come: %s", got)
	}
	stubs := func() int {
		places, err := clsact.Places()
		if err != nil {
			t.Error(err)
		}
		return len(places)
	}
	if err := p.b.Do(func() error {
		if out, err := ReleaseFilters(func(owner string) bool { return owner != "test0" }); err != nil || len(out) != 0 || stubs() != 1 {
			t.Errorf("released %q, %v, %d stay", out, err, stubs())
		}
		out, err := ReleaseFilters(func(owner string) bool { return owner == "test0" })
		if !slices.Equal(out, []string{"the filter of test0 at nn0"}) {
			t.Errorf("released %q", out)
		}
		until(t, "the filter", func() bool { return stubs() == 1 })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p.becomes(t, "on: nn0")
	p.numbered(t, 1000, 0, 10)
	p.inOrder(t, 0, 10)
	if n := p.netB.Counters()["net_ring"]; n != 10 {
		t.Errorf("%d packets of 10 came by the ring", n)
	}
	p.netB.Close()
	if err := p.b.Do(func() error {
		if n := stubs(); n != 0 {
			t.Errorf("%d places of filters stay after the end", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
