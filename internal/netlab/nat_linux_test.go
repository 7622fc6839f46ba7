package netlab

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

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
