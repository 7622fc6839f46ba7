package child

import (
	"strings"
	"testing"
	"time"

	"culvert/selector"
)

// What becomes of a policy when its carrier ends depends on the cause and on what the owner wants.
func TestEndOfTheCarrier(t *testing.T) {
	for _, tt := range []struct {
		start    StartMode
		cause    Cause
		whenDead Intent
		wanted   bool
		base     Intent
		pause    bool
	}{
		{StartBoot, EndLocal, IntentUp, true, IntentUp, false},
		{StartBoot, EndPeer, IntentUp, true, IntentUp, true},
		{StartBoot, EndFailed, IntentUp, true, IntentUp, true},
		{StartBoot, EndDead, IntentUp, true, IntentUp, false},
		{StartBoot, EndDead, IntentTraffic, false, IntentTraffic, false},
		{StartBoot, EndDead, IntentDown, false, IntentDown, false},
		{StartTraffic, EndPeer, IntentUp, false, IntentTraffic, false},
		{StartTraffic, EndDead, IntentUp, true, IntentTraffic, false},
		{StartTraffic, EndDead, IntentTraffic, false, IntentTraffic, false},
		{StartTraffic, EndMoved, IntentTraffic, true, IntentTraffic, false},
		{StartNever, EndPeer, IntentTraffic, true, IntentUp, true},
		{StartNever, EndExpired, IntentTraffic, true, IntentUp, false},
		{StartNever, EndDead, IntentUp, true, IntentUp, false},
		{StartNever, EndDead, IntentTraffic, false, IntentDown, false},
		{StartNever, EndDead, IntentDown, false, IntentDown, false},
	} {
		w := newWorld(t, 1, Settings{Name: "lan", Start: tt.start})
		l := w.sides[0]
		l.pol.Start()
		l.Touch()
		w.settle()
		w.run(10 * time.Second)
		w.wantUp(1)
		l.whenDead = tt.whenDead
		l.sa.end(tt.cause)
		pol := l.pol
		if pol.Wanted() != tt.wanted || pol.Base() != tt.base || pol.NextTry().After(w.now) != tt.pause || pol.Up() || len(l.installed) != 0 {
			t.Errorf("%+v: wanted %v, base %d, pauses %v, up %v, %d installed", tt, pol.Wanted(), pol.Base(), pol.NextTry().After(w.now), pol.Up(), len(l.installed))
		}
		if !strings.HasPrefix(pol.Reason, "cause ") {
			t.Errorf("%+v: the reason is %q", tt, pol.Reason)
		}
		if l.failed = 0; tt.base == IntentDown {
			if pol.Acquire(selector.Flow{}, 0); l.failed != 1 {
				t.Errorf("%+v: a packet wakes the policy", tt)
			}
		}
	}
}
