package tun

import (
	"slices"
	"testing"
)

// Release removes what a killed daemon left, and nothing of one that runs.
func TestReleaseAfterAKill(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: openIn(t, h, Config{Name: "tn1"})})
	r.mustBecome(policy("10.3.0.0/16", "10.1.0.0/16"))
	kill(t, h, d, 0)
	checkRoutes(t, h, []routeCase{{"held back", lookup{to: "198.51.100.1", from: "10.1.0.1"}, "none", ""}})
	for _, want := range [][]string{{"0.0.0.0/0", "::/0"}, nil} {
		var opened []string
		if err := h.Do(func() (err error) { opened, err = Release(); return err }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(opened, want) {
			t.Errorf("released %q, want %q", opened, want)
		}
		checkRoutes(t, h, []routeCase{
			{"released", lookup{to: "198.51.100.1", from: "10.1.0.1"}, "tout", ""},
			{"another's", lookup{to: "10.3.0.9", from: "10.1.0.1"}, "tn1", ""},
		})
	}
}
