package tun

import (
	"errors"
	"os"
	"slices"
	"testing"
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
