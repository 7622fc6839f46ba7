package daemon

import (
	"fmt"
	"time"

	"culvert/ike/driver"
	"culvert/internal/config"
	"culvert/internal/control"
)

// strangers returns the status of the callers that were refused before they were authenticated.
func strangers(now time.Time, list []driver.Stranger) []control.Stranger {
	out := []control.Stranger{}
	for _, s := range list {
		out = append(out, control.Stranger{Remote: s.From.String(), Claims: s.Claims, Event: s.Event, Reason: s.Text, Cause: string(s.Cause), Details: append([]string{}, s.Explain...), Times: s.Times, Last: *since(now, s.At)})
	}
	return out
}

// explainStrangers returns lines on the strangers that may have been a peer: those that named its
// identity, and those that named no configured one.
func explainStrangers(p *config.Peer, list []driver.Stranger) (lines []string) {
	for _, s := range list {
		if s.Claims != "" && s.Claims != p.Name {
			continue
		}
		if lines == nil {
			lines = []string{"", "refused calls that may have been of this peer; anybody can have made them:"}
		}
		lines = append(lines, fmt.Sprintf("  %s %s, %d in all: %s", s.At.Local().Format("2006-01-02 15:04:05"), s.Event, s.Times, s.Text))
		for _, line := range s.Explain {
			lines = append(lines, "    "+line)
		}
	}
	return lines
}
