package ike

import (
	"testing"
	"time"

	"culvert/ike/reason"
)

// TestWhatNext: people are told what happens next to a child that is not up.
func TestWhatNext(t *testing.T) {
	p := newPair(t, 1, nil)
	pol := p.left.e.peers.order[0].party.policies[0]
	party := pol.Owner().(*party)
	remote := party.cfg.Remote
	soon, later := p.now.Add(1500*time.Millisecond), p.now.Add(time.Minute)
	for _, tt := range []struct {
		name       string
		want, busy bool
		start      StartMode
		remote     bool
		retry, try time.Time
		text       string
	}{
		{"under way", true, true, StartBoot, true, later, later, ""},
		{"the peer has to call", true, false, StartBoot, false, time.Time{}, time.Time{}, "waiting for the peer to connect: no remote address is configured"},
		{"at once", true, false, StartBoot, true, time.Time{}, time.Time{}, ""},
		{"after the child's pause", true, false, StartBoot, true, soon, time.Time{}, "next try in 2 s"},
		{"after the peer's pause", true, false, StartBoot, true, soon, later, "next try in 60 s"},
		{"traffic, after a pause", false, false, StartTraffic, true, soon, time.Time{}, "waiting for traffic after a pause of 2 s"},
		{"traffic", false, false, StartTraffic, true, time.Time{}, time.Time{}, "waiting for traffic"},
		{"a command", false, false, StartNever, true, time.Time{}, time.Time{}, "down until requested"},
		{"told by the reason", false, false, StartBoot, true, time.Time{}, time.Time{}, ""},
	} {
		pol.Settings.Start = tt.start
		pol.Start()
		if !tt.want {
			pol.Close()
		}
		if pol.Settled(); tt.busy {
			pol.Begin()
		}
		if !tt.retry.IsZero() {
			pol.TryIn(tt.retry.Sub(p.now), reason.Trouble{Reason: "for the test"})
		}
		party.try.At, party.cfg.Remote = tt.try, nil
		if tt.remote {
			party.cfg.Remote = remote
		}
		if got := whatNext(pol); got != tt.text {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.text)
		}
	}
	// A client of an entry for many, with which no networks are agreed.
	one := party.profile.newParty("someone").policies[0]
	one.Start()
	if got := whatNext(one); got != "waiting for the peer to ask for it" {
		t.Errorf("a client: %q", got)
	}
}
