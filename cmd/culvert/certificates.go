package main

import (
	"fmt"
	"slices"
	"time"

	"culvert/internal/control"
)

// maxCertificatesShown bounds the certificates of the status for people; `status --json` has all.
const maxCertificatesShown = 10

// certificateLines tells until when the configured certificates are valid, the first to expire at
// the top.
func certificateLines(list []control.Certificate) (lines []string) {
	list = slices.SortedStableFunc(slices.Values(list), func(a, b control.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	for i, c := range list {
		if i == 0 {
			lines = append(lines, "", "certificates:")
		}
		if i == maxCertificatesShown {
			return append(lines, fmt.Sprintf("  and %s that are valid for longer", count(len(list)-i, "other", "others")))
		}
		line := "  " + c.Trouble
		if c.Trouble == "" {
			line = fmt.Sprintf("  %s, %s of %s: valid until %s", c.Subject, c.Use, count(c.Peers, "peer", "peers"), c.NotAfter.UTC().Format(time.DateOnly))
		}
		lines = append(lines, line)
	}
	return lines
}
