package interop

import (
	"fmt"
	"strings"
)

// Table returns the records as a table for people, in the order of the peers and their cells.
func (r Records) Table() string {
	var b strings.Builder
	passed, of := 0, 0
	for _, p := range Peers {
		for _, c := range p.Cells() {
			one, has := r[c.Name()]
			if !has {
				continue
			}
			if of++; one.Passed {
				passed++
			}
			fmt.Fprintf(&b, "%s %s (%d s; %s)\n", strings.ToUpper(one.Verdict()), c.Name(), one.Seconds, one.Figures())
		}
	}
	fmt.Fprintf(&b, "%d of %d cells passed", passed, of)
	return b.String()
}

// Verdict returns "passed" or "failed".
func (r Record) Verdict() string {
	if r.Passed {
		return "passed"
	}
	return "failed"
}

// Figures returns what the record has counted, as text.
func (r Record) Figures() string {
	var parts []string
	if r.Sent > 0 {
		parts = append(parts, fmt.Sprintf("%d packets, %d lost", r.Sent, r.Lost))
	}
	if r.ChildSAs+r.IKESAs > 0 {
		parts = append(parts, fmt.Sprintf("%d new Child SAs, %d new IKE SAs", r.ChildSAs, r.IKESAs))
	}
	if r.Note != "" {
		parts = append(parts, r.Note)
	}
	return strings.Join(parts, "; ")
}
