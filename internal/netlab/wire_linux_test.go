package netlab

import (
	"context"
	"testing"
	"time"
)

func TestWireImpairs(t *testing.T) {
	l := Need(t)
	a, b := must(l.Host("a"))(t), must(l.Host("b"))(t)
	w := must(l.Wire(Iface{a, "wan", []string{"192.0.2.1/24"}}, Iface{b, "wan", []string{"192.0.2.2/24"}}, 1500, 1))(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := Transfer(ctx, a, left, b, right, 1<<20); err != nil {
		t.Fatalf("through a clean wire: %v", err)
	}
	w.Impair(Impairment{Drop: 0.1, Double: 0.1, Delay: 0.2, MaxDelay: 5 * time.Millisecond})
	s := must(StartStream(a, left, b, right, 1000, 100))(t)
	if err := Until(ctx, "a thousand datagrams", func() bool { return s.Sent.Load() >= 1000 }); err != nil {
		t.Fatal(err)
	}
	lost := s.Stop(time.Second)
	if lost == 0 || s.Doubled.Load() == 0 || s.Reordered.Load() == 0 {
		t.Errorf("lost %d, doubled %d, reordered %d: the wire impairs nothing", lost, s.Doubled.Load(), s.Reordered.Load())
	}
}
