package budget

import (
	"testing"
	"time"
)

// TestUnprotected: the limits hold in each second, and strangers leave room for configured
// addresses.
func TestUnprotected(t *testing.T) {
	var u Unprotected
	for _, at := range []time.Time{start, start.Add(time.Second), start} {
		errors, strangers, known, hints := 0, 0, 0, 0
		for range 2 * maxHints {
			if u.AllowHint(at) {
				hints++
			}
		}
		for range 100 {
			if u.AllowError(at) {
				errors++
			}
			if u.AllowRefusal(at, false) {
				strangers++
			}
		}
		for range 100 {
			if u.AllowRefusal(at, true) {
				known++
			}
		}
		if hints != maxHints {
			t.Errorf("%d hints in a second", hints)
		}
		if errors != maxErrors || strangers != MaxRefusals || known != MaxRefusals {
			t.Errorf("%d errors, %d and %d refusals in a second", errors, strangers, known)
		}
	}
}
