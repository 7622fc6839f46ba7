package ike

import (
	"testing"
	"time"
)

func TestListSelectors(t *testing.T) {
	many := testNetworks("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24", "10.0.5.0/24",
		"10.0.6.0/24", "10.0.7.0/24", "10.0.8.0/24", "10.0.9.0/24", "10.0.10.0/24", "10.0.11.0/24")
	for _, tt := range []struct {
		n    int
		want string
	}{
		{0, "none"},
		{1, "10.0.0.0/24"},
		{2, "10.0.0.0/24 10.0.1.0/24"},
		{10, "10.0.0.0/24 10.0.1.0/24 10.0.2.0/24 10.0.3.0/24 10.0.4.0/24 10.0.5.0/24 10.0.6.0/24 10.0.7.0/24 10.0.8.0/24 10.0.9.0/24"},
		{12, "10.0.0.0/24 10.0.1.0/24 10.0.2.0/24 10.0.3.0/24 10.0.4.0/24 10.0.5.0/24 10.0.6.0/24 10.0.7.0/24 10.0.8.0/24 10.0.9.0/24 and 2 more"},
	} {
		if got := listSelectors(many[:tt.n]); got != tt.want {
			t.Errorf("%d selectors: %q, want %q", tt.n, got, tt.want)
		}
	}
}

// TestWhatNext: people are told what happens next to a child that is not up.
func TestWhatNext(t *testing.T) {
	p := newPair(t, 1, nil)
	pol := p.left.e.peers.order[0].party.policies[0]
	remote := pol.party.cfg.Remote
	soon, later := p.now.Add(1500*time.Millisecond), p.now.Add(time.Minute)
	for _, tt := range []struct {
		name       string
		want, busy bool
		base       intent
		remote     bool
		retry, try time.Time
		text       string
	}{
		{"under way", true, true, intentUp, true, later, later, ""},
		{"the peer has to call", true, false, intentUp, false, time.Time{}, time.Time{}, "waiting for the peer to connect: no remote address is configured"},
		{"at once", true, false, intentUp, true, time.Time{}, time.Time{}, ""},
		{"after the child's pause", true, false, intentUp, true, soon, time.Time{}, "next try in 2 s"},
		{"after the peer's pause", true, false, intentUp, true, soon, later, "next try in 60 s"},
		{"traffic, after a pause", false, false, intentTraffic, true, soon, time.Time{}, "waiting for traffic after a pause of 2 s"},
		{"traffic", false, false, intentTraffic, true, time.Time{}, time.Time{}, "waiting for traffic"},
		{"a command", false, false, intentDown, true, time.Time{}, time.Time{}, "down until requested"},
		{"told by the reason", false, false, intentUp, true, time.Time{}, time.Time{}, ""},
	} {
		pol.want, pol.busy, pol.base, pol.retry.at, pol.party.try.at = tt.want, tt.busy, tt.base, tt.retry, tt.try
		pol.party.cfg.Remote = nil
		if tt.remote {
			pol.party.cfg.Remote = remote
		}
		if got := pol.whatNext(p.now); got != tt.text {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.text)
		}
	}
}
