package dataplane

import (
	"time"

	"culvert/esp"
	"culvert/selector"
)

// demand is one worker's wish for an SA of its own for one policy (RFC 9611). The worker alone touches it.
//
// RFC 9611 leaves it open when a resource's SA is asked for. It is asked for when the worker is busy on one that it shares: what the workers save is the
// waiting for each other, and a tunnel with little to carry is not worth more SAs.
type resourceDemand struct {
	window int64 // when the count began; UnixNano
	sends  int
	asked  int64 // when it was last asked for; UnixNano, 0: never
	_      [cacheLine - 24]byte
}

const (
	// So many sends, of a packet or a super-packet, within the window are busy.
	demandSends  = 64
	demandWindow = int64(time.Second)
	// demandRepeat is how soon the control plane is asked again, where no SA came. It has its own, longer pauses.
	demandRepeat = int64(10 * time.Second)
)

// due counts a send on a shared SA, and says whether to ask now.
func (d *resourceDemand) due(now int64) bool {
	if now-d.window >= demandWindow {
		d.window, d.sends = now, 0
	}
	d.sends++
	if d.sends < demandSends || d.asked != 0 && now-d.asked < demandRepeat {
		return false
	}
	d.asked = now
	return true
}

// noteDemand is told that the worker sends on an SA that is not its own, though the peer makes them for single workers.
func (t *tx) noteDemand(s *slot, f *selector.Flow) {
	ws := s.sas.Load().workers
	if ws != nil && ws.demand[t.index].due(t.nowNano) {
		t.plane.events.post(esp.Event{Kind: esp.EventAcquire, Policy: s.policy, Flow: *f, Resource: t.index + 1})
	}
}
