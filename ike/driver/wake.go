package driver

import (
	"time"

	"culvert/ike"
)

// minWake keeps an engine with a stuck deadline, which would be a bug, from using a whole core.
const minWake = time.Millisecond

// wakeIfDue feeds Wake if the engine's deadline has passed, and sets the timer to the next one.
func (d *Driver) wakeIfDue() {
	l := &d.loop
	if at, now := d.wakeAt(), d.cfg.Now(); !at.IsZero() && !at.After(now) {
		l.wakeFrom = now.Add(minWake)
		d.handle(ike.Wake{}, classEstablished)
	}
	at := d.wakeAt()
	if at.Equal(l.armed) {
		return
	}
	l.armed = at
	if at.IsZero() {
		l.timer.Stop()
		return
	}
	l.timer.Reset(at.Sub(d.cfg.Now())) // now again: Wake may have taken long
}

// wakeAt returns the time of the next Wake; zero: never.
func (d *Driver) wakeAt() time.Time {
	at := d.cfg.Engine.Deadline()
	if !at.IsZero() && at.Before(d.loop.wakeFrom) {
		return d.loop.wakeFrom
	}
	return at
}
