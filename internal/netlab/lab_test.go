//go:build linux

package netlab

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var left, right = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

func TestLinkCarriesPingAndTransfer(t *testing.T) {
	l := Need(t)
	a, b := must(l.Host("a"))(t), must(l.Host("b"))(t)
	if err := l.Link(Iface{a, "wan", []string{"192.0.2.1/24", "2001:db8::1/64"}}, Iface{b, "wan", []string{"192.0.2.2/24", "2001:db8::2/64"}}, 1500); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, p := range [][2]netip.Addr{{left, right}, {netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}} {
		if _, err := a.PingUntil(ctx, p[0], p[1], 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if _, err := Transfer(ctx, a, p[0], b, p[1], 1<<20); err != nil {
			t.Fatal(err)
		}
	}
}

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

func TestMasqueradeHidesAndForgets(t *testing.T) {
	l := Need(t)
	a, nat, b := must(l.Host("a"))(t), must(l.Host("nat"))(t), must(l.Host("b"))(t)
	for _, err := range []error{
		l.Link(Iface{a, "wan", []string{"10.98.0.2/24"}}, Iface{nat, "in", []string{"10.98.0.1/24"}}, 1500),
		l.Link(Iface{nat, "out", []string{"192.0.2.1/24"}}, Iface{b, "wan", []string{"192.0.2.2/24"}}, 1500),
		a.Route("default", "10.98.0.1", 0),
		nat.Masquerade("out"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := a.PingUntil(ctx, netip.MustParseAddr("10.98.0.2"), right, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := Transfer(ctx, a, netip.MustParseAddr("10.98.0.2"), b, right, 1<<16); err != nil {
		t.Fatal(err)
	}
	if err := nat.ForgetMappings(); err != nil {
		t.Fatal(err)
	}
}
