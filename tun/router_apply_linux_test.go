package tun

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestApplyFollowsTheDifference(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Table: testTable, Fence: true})
	a, b := policy("10.2.0.0/16", "10.1.0.0/16"), policy("10.3.0.0/16", "10.1.0.0/16", "10.9.0.0/16")
	r.mustBecome(a)
	one := ours(t, h)
	r.mustBecome(a, b)
	checkRoutes(t, h, []routeCase{
		{"the first", lookup{to: "10.2.0.9"}, "tn0", ""},
		{"the second", lookup{to: "10.3.0.9"}, "tn0", ""},
		{"the second's other local network", lookup{to: "10.3.0.9", from: "10.9.0.5", iif: "tlan"}, "tn0", ""},
		{"which the first lacks", lookup{to: "10.2.0.9", from: "10.9.0.5", iif: "tlan"}, "tout", ""},
	})
	r.mustBecome(a)
	if got := ours(t, h); !slices.Equal(got, one) {
		t.Errorf("after the second network went: %q, want %q", got, one)
	}
	checkRoutes(t, h, []routeCase{{"the second is gone", lookup{to: "10.3.0.9"}, "tout", ""}})
	if err := r.Close(false); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if got := ours(t, h); len(got) != 0 {
		t.Errorf("left behind by Close: %q", got)
	}
	if err := r.Close(false); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if err := r.become(a); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Apply after Close: %v", err)
	}
}

// The first refusal is told of, or that IPv6 is switched off, with its remedy.
func TestRefusalsAreToldOf(t *testing.T) {
	for _, tt := range []struct {
		refused []error // each of IPv6
		first   error
		allIPv6 bool
	}{
		{[]error{unix.EINVAL}, unix.EINVAL, false},
		{[]error{unix.EINVAL, unix.ENODEV}, unix.EINVAL, false},
		{[]error{unix.EINVAL, unix.EACCES}, unix.EACCES, false},
		{[]error{unix.EACCES, unix.EINVAL}, unix.EACCES, false},
		{[]error{unix.EACCES, unix.EAFNOSUPPORT}, unix.EAFNOSUPPORT, true},
	} {
		var f refusals
		for _, err := range tt.refused {
			f.add(true, "tn0", err)
		}
		if f.first != tt.first || f.allIPv6 != tt.allIPv6 || f.n != len(tt.refused) {
			t.Errorf("%v: %d, the first is %v, all for IPv6: %t", tt.refused, f.n, f.first, f.allIPv6)
		}
	}
}
