package ike

import (
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/window"
)

// shutdownLimit is how long Shutdown waits for the peers' responses. A peer acts on our Delete even
// if its response is lost. The wait is for a lost Delete, and for the exchange that it has to wait
// for, as the window is one. It is short because the operator waits; a peer that missed the Delete
// finds out by itself (RFC 7296, Section 2.4).
const shutdownLimit = 600 * time.Millisecond

// shutdownRetry is the plan by which requests are retransmitted meanwhile: twice.
var shutdownRetry = window.RetransmitPlan{First: shutdownLimit / 4, Factor: 2}

// shutdown deletes every IKE SA.
func (e *Engine) shutdown() {
	if e.stopping {
		return
	}
	e.stopping = true
	e.sas.halfOpen.dropAll()
	for p := range e.peers.parties(Mark{}) {
		p.waiters.abandon(errStopping)
		p.closeAll("the daemon is stopping")
	}
	for _, s := range e.sortedSAs() {
		if s.win.Outstanding() != nil {
			e.after(&s.retransmission, s.plan().Pause(0, e.cfg.Rand))
		}
	}
	e.after(&e.stopped, shutdownLimit)
}

// checkStopped ends Shutdown when no response is outstanding.
func (e *Engine) checkStopped() {
	if !e.stopping || !e.stopped.Running() {
		return
	}
	for _, s := range e.sas.bySPI {
		if s.state == saClosing || s.state == saRekeyed {
			return
		}
	}
	e.timers.Stop(&e.stopped)
	e.endShutdown()
}

// endShutdown removes what is left in the dataplane.
func (e *Engine) endShutdown() {
	for _, s := range e.sortedSAs() {
		if !s.state.ended() {
			s.end(child.EndLocal, "the daemon is stopping")
		}
	}
	e.pairs.RemoveAll()
	e.emit(Stopped{})
}

// sortedSAs returns all IKE SAs in an order that is the same in every run.
func (e *Engine) sortedSAs() []*ikeSA {
	var list []*ikeSA
	for _, s := range e.sas.bySPI {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *ikeSA) int {
		if a.ours() < b.ours() {
			return -1
		}
		return 1
	})
	return list
}
