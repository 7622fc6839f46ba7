package main

import (
	"regexp"
	"testing"
)

// TestGenPSK: keys differ, have 256 bits, and need no quoting anywhere.
func TestGenPSK(t *testing.T) {
	form := regexp.MustCompile(`^[A-Za-z0-9_-]{43}\n$`)
	_, a, _ := culvert("genpsk")
	status, b, stderr := culvert("genpsk")
	if status != 0 || stderr != "" || a == b || !form.MatchString(a) || !form.MatchString(b) {
		t.Errorf("got %d, %q, %q, %q", status, a, b, stderr)
	}
}
