//go:build linux

package netlab

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// TestProbesBringErrors gets each kind of error from a router, and a reply from the host behind it.
func TestProbesBringErrors(t *testing.T) {
	l := Need(t)
	a, r, b := must(l.Host("a"))(t), must(l.Host("r"))(t), must(l.Host("b"))(t)
	for _, err := range []error{
		l.Link(Iface{a, "wan", []string{"192.0.2.1/24", "2001:db8::1/64"}}, Iface{r, "in", []string{"192.0.2.254/24", "2001:db8::ff/64"}}, 1500),
		l.Link(Iface{r, "out", []string{"198.51.100.254/24", "2001:db8:1::ff/64"}}, Iface{b, "wan", []string{"198.51.100.1/24", "2001:db8:1::1/64"}}, 1300),
		a.Route("default", "192.0.2.254", 0), a.Route("default", "2001:db8::ff", 0),
		b.Route("default", "198.51.100.254", 0), b.Route("default", "2001:db8:1::ff", 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	addr := netip.MustParseAddr
	src4, dst4, src6, dst6 := left, addr("198.51.100.1"), addr("2001:db8::1"), addr("2001:db8:1::1")
	router4, router6 := addr("192.0.2.254"), addr("2001:db8::ff")
	for _, tt := range []struct {
		p    Probe
		want Answer
	}{
		{Probe{Src: src4, Dst: dst4, Size: 100}, Answer{From: dst4}},
		{Probe{Src: src4, Dst: dst4, Size: 101, TTL: 1}, Answer{From: router4, Type: 11}},
		{Probe{Src: src4, Dst: dst4, Size: 1300}, Answer{From: router4, Type: 3, Code: 4, MTU: 1300}},
		{Probe{Src: src6, Dst: dst6, Size: 100}, Answer{From: dst6, Type: 129}},
		{Probe{Src: src6, Dst: dst6, Size: 101, TTL: 1}, Answer{From: router6, Type: 3}},
		{Probe{Src: src6, Dst: dst6, Size: 1300}, Answer{From: router6, Type: 2, MTU: 1300}},
	} {
		if got, err := a.Probe(ctx, tt.p); err != nil || got != tt.want {
			t.Errorf("%+v: got %+v, %v, want %+v", tt.p, got, err, tt.want)
		}
	}
}
