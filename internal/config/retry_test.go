package config

import (
	"strings"
	"testing"
	"time"

	"culvert/ike/timer"
	"culvert/ike/window"
)

// TestRetries reads the plan of retransmissions and the back-off of a peer.
func TestRetries(t *testing.T) {
	plan := window.RetransmitPlan{First: time.Second, Factor: 1.8, Tries: 6}
	back := timer.Backoff{First: 2 * time.Second, Max: time.Minute}
	for _, c := range []struct {
		keys string
		plan window.RetransmitPlan
		back timer.Backoff
		err  string
	}{
		{"", plan, back, ""},
		{`retransmit = {}`, plan, back, ""},
		{`retransmit = { first = "500ms", factor = 2, tries = 4 }`, window.RetransmitPlan{First: 500 * time.Millisecond, Factor: 2, Tries: 4}, back, ""},
		{`retransmit = { factor = 1.25 }`, window.RetransmitPlan{First: time.Second, Factor: 1.25, Tries: 6}, back, ""},
		{`retransmit = { first = "99ms" }`, plan, back, "too short; use at least 100ms"},
		{`retransmit = { factor = 0.9 }`, plan, back, "retransmit: factor = 0.9 is out of range; use 1 to 10"},
		{`retransmit = { factor = 10.1 }`, plan, back, "out of range"},
		{`retransmit = { factor = nan }`, plan, back, "out of range"},
		{`retransmit = { factor = "2" }`, plan, back, "factor must be a number, such as 1.8"},
		{`retransmit = { tries = 0 }`, plan, back, "tries = 0 is out of range; use 1 to 30"},
		{`retransmit = { tries = 31 }`, plan, back, "out of range"},
		{`retransmit = { tries = 2.5 }`, plan, back, "tries must be a number"},
		{`retransmit = { frist = "1s" }`, plan, back, `did you mean "first"?`},
		{`retransmit = "1s"`, plan, back, "retransmit must be a table"},
		{`retry = { first = "1s", max = "10s" }`, plan, timer.Backoff{First: time.Second, Max: 10 * time.Second}, ""},
		{`retry = { first = "2m" }`, plan, timer.Backoff{First: 2 * time.Minute, Max: 2 * time.Minute}, ""},
		{`retry = { first = "400ms" }`, plan, back, "too short; use at least 500ms"},
		{`retry = { first = "10s", max = "9s" }`, plan, back, `max = "9s" is shorter than first, which is 10s; use at least that`},
	} {
		text := good
		if c.keys != "" {
			text = editPeer(`name =`, c.keys+"\nname =")
		}
		cfg, err := loadText(t, text)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", c.keys, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.keys, err)
			continue
		}
		if p := cfg.Peers[0]; p.Retransmit != c.plan || p.Reconnect != c.back {
			t.Errorf("%s: %+v, %+v", c.keys, p.Retransmit, p.Reconnect)
		}
	}
}
