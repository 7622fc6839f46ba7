package budget

import (
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0)

// TestBucket: a burst at once, then what the rate gives, and never more than a burst again.
func TestBucket(t *testing.T) {
	var b Bucket
	r := Rate{Burst: 10, PerSecond: 4}
	take := func(after time.Duration, units int, want bool) {
		t.Helper()
		if has := b.Has(start.Add(after), r, units); has != want {
			t.Errorf("after %v: Has(%d) is %v, want %v", after, units, has, want)
		}
		if got := b.Take(start.Add(after), r, units); got != want {
			t.Errorf("after %v: Take(%d) is %v, want %v", after, units, got, want)
		}
	}
	take(0, 11, false)
	take(0, 10, true)
	take(0, 1, false)
	take(250*time.Millisecond-1, 1, false)
	take(250*time.Millisecond, 1, true)
	take(time.Second, 3, true)
	take(time.Second, 1, false)
	take(time.Hour, 11, false)
	take(time.Hour, 10, true)
	take(time.Hour, 1, false)
	take(0, 1, false) // the clock was set back
	take(2500*time.Millisecond-1, 10, false)
	take(2500*time.Millisecond, 10, true)
}
