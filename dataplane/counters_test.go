package dataplane

import "testing"

func TestEveryReasonHasItsName(t *testing.T) {
	seen := make(map[string]bool)
	for r, names := range reasonNames {
		if names.plane == "" || seen[names.plane] {
			t.Errorf("reason %d is named %q", r, names.plane)
		}
		seen[names.plane] = true
	}
}
