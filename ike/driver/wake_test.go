package driver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
)

func TestWakes(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.want("no deadline, nothing to do")
		r.engine.script = func(now time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Wake:
				r.journal.add("at %v", now.Sub(r.engine.deadline))
				r.engine.deadline = time.Time{}
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.wakeAt(time.Minute)
		time.Sleep(time.Minute - time.Nanosecond)
		r.want("too early")
		time.Sleep(time.Nanosecond)
		r.want("on time", "wake", "at 0s")
		time.Sleep(time.Hour)
		r.want("no deadline any more")
		r.wakeAt(time.Hour)
		time.Sleep(time.Minute)
		r.wakeAt(time.Minute) // an earlier one
		time.Sleep(time.Minute)
		r.want("the earlier deadline", "wake", "at 0s")
		time.Sleep(minWake)
		r.wakeAt(-time.Minute)
		r.want("a deadline of the past", "wake", "at 1m0s")
	})
}

// A slow Wake does not make the next one late.
func TestSlowWakeDoesNotDelayTheNext(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		var first time.Time
		r.engine.script = func(now time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Wake:
				if first.IsZero() {
					first = now
					r.engine.deadline = now.Add(time.Second)
					time.Sleep(400 * time.Millisecond)
					return
				}
				r.journal.add("%v later", now.Sub(first))
				r.engine.deadline = time.Time{}
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.wakeAt(0)
		time.Sleep(2 * time.Second)
		r.want("the second on time", "wake", "wake", "1s later")
	})
}

// A deadline that stays in the past, which would be a bug of the engine, does not use up a core.
func TestStuckDeadline(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.wakeAt(0)
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if got := len(r.journal.take()); got < 5 || got > 12 {
			t.Errorf("%d wakes in 10 ms", got)
		}
		r.call(context.Background(), func() { r.engine.deadline = time.Time{} })
	})
}
