package tun

import (
	"testing"
	"time"
)

// A refused change is tried again after a second, then after growing pauses, and soon after another
// change of the host.
func TestRetry(t *testing.T) {
	var r retry
	now, pauses := start, []time.Duration{}
	for range 9 {
		r.failed(now)
		pauses = append(pauses, r.at.Sub(now))
		if r.now(r.at.Add(-1), false) {
			t.Fatal("too early")
		}
		if now = r.at; !r.now(now, false) {
			t.Fatal("not when it is time")
		}
	}
	if pauses[0] != time.Second || pauses[3] != 8*time.Second || pauses[8] != time.Minute {
		t.Errorf("got pauses %v", pauses)
	}
	r.failed(now)
	if r.now(now.Add(time.Second/2), true) || !r.now(now.Add(time.Second), true) {
		t.Error("a change of the host's addresses must have it tried, but not more than once a second")
	}
	if r.now(now.Add(time.Hour), true) {
		t.Error("tried again although nothing was refused since")
	}
}
