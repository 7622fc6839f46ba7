package netlab

import (
	"context"
	"testing"
	"time"
)

func TestLoadGoesBothWaysAndEnds(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l := must(StartLoad(ctx, Flow{a, b, left, right, 2}, Flow{b, a, right, left, 1}))(t)
	if err := Until(ctx, "octets", func() bool { return l.Octets() > 1<<20 }); err != nil {
		t.Error(err)
	}
	l.Stop()
	if n := l.Octets(); n != l.Octets() {
		t.Error("octets arrive after Stop")
	}
}

func TestLoadWithoutAWayFails(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	if err := a.SetLink("wan", false); err != nil {
		t.Fatal(err)
	}
	if l, err := StartLoad(t.Context(), Flow{a, b, left, right, 1}); err == nil {
		l.Stop()
		t.Error("a load over a link that is down")
	}
}
