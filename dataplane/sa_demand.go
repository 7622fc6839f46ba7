package dataplane

import (
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// A resourceDemand is one worker's demand for an SA of its own for one policy (RFC 9611). Only that
// worker uses it.
//
// RFC 9611 does not say when to ask for a resource's SA. A worker asks while it is busy on a shared
// one: an SA of its own saves the workers from waiting for each other, and a tunnel with little
// traffic does not justify more SAs.
type resourceDemand struct {
	window int64 // start of the count; UnixNano
	sends  int
	asked  int64 // last request; UnixNano, 0: never
	_      [cacheLine - 24]byte
}

const (
	// A worker is busy with this number of sends, each a packet or a super-packet, per window.
	demandSends  = 64
	demandWindow = int64(time.Second)
	// demandRepeat is the pause before the control plane is asked again, if no SA came. It has its
	// own, longer pauses.
	demandRepeat = int64(10 * time.Second)
)

// due counts a send on a shared SA, and reports whether to ask for an SA now.
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

// noteDemand notes a send on an SA that is not the worker's own, although the peer makes SAs for
// single workers.
func (t *tx) noteDemand(s *slot, f *selector.Flow) {
	ws := s.sas.Load().workers
	if ws != nil && ws.demand[t.index].due(t.nowNano) {
		t.plane.events.post(ipsec.Event{Kind: ipsec.EventAcquire, Policy: s.policy, Flow: *f, Resource: t.index + 1})
	}
}
