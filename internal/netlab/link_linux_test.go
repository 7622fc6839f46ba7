package netlab

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// twoHosts returns two linked hosts that have reached each other, and the wire between them if one
// is asked for. A new device may lose the first ARP request, and the kernel waits a second before
// the next.
func twoHosts(t *testing.T, wire bool) (a, b *Host, w *Wire) {
	t.Helper()
	l := Need(t)
	a, b = must(l.Host("a"))(t), must(l.Host("b"))(t)
	ia, ib := Iface{a, "wan", []string{left.String() + "/24"}}, Iface{b, "wan", []string{right.String() + "/24"}}
	if wire {
		w = must(l.Wire(ia, ib, 1500, 1))(t)
	} else if err := l.Link(ia, ib, 1500); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(a.PingUntil(ctx, left, right, 200*time.Millisecond))(t)
	return a, b, w
}

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
