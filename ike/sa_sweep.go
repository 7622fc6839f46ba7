package ike

import (
	"net/netip"
	"time"

	"culvert/ike/timer"
)

// sweep is the check of every IKE SA after an address or route of this host changed.
type sweep struct {
	state sweepState
	next  Mark // place of the next peer
	stray bool // an IKE SA has no address to send from
	pause time.Duration
	retry timer.Timer
}

type sweepState uint8

const (
	sweepOver sweepState = iota
	sweepRunning
	sweepOutdated // something changed during the sweep, and another one follows
)

// start begins a sweep.
func (w *sweep) start() { w.state, w.next, w.stray = sweepRunning, Mark{}, false }

const (
	// maxLooks bounds the peers that one Handle checks: each costs a query of the system.
	maxLooks = 128
	// Pauses between searches for an address to send from. It may appear without a notification:
	// routes come after addresses, and new IPv6 addresses are not usable at once.
	strayFirst, strayMax = 200 * time.Millisecond, 5 * time.Second
)

// addressesChanged starts a sweep.
func (e *Engine) addressesChanged() {
	e.sweep.pause = 0
	e.beginSweep()
}

func (e *Engine) beginSweep() {
	w := &e.sweep
	e.timers.Stop(&w.retry)
	if w.state != sweepOver {
		w.state = sweepOutdated
		return
	}
	w.start()
	e.sweepOn()
}

// sweepOn checks the next peers. At the end it starts another sweep if needed.
func (e *Engine) sweepOn() {
	w := &e.sweep
	if w.state == sweepOver || e.stopping {
		w.state = sweepOver
		return
	}
	looks := 0
	for p := range e.peers.parties(w.next) {
		if looks++; looks > maxLooks {
			w.next = p.mark()
			return
		}
		p.roam()
	}
	if w.state == sweepOutdated {
		w.start()
		return
	}
	w.state = sweepOver
	if w.stray {
		e.lookForAddress()
	}
}

// lookForAddress schedules another sweep for an IKE SA that has no address to send from.
func (e *Engine) lookForAddress() {
	w := &e.sweep
	w.stray = true
	if w.state != sweepOver || w.retry.Running() {
		return
	}
	w.pause = min(max(2*w.pause, strayFirst), strayMax)
	e.after(&w.retry, w.pause)
}

// hasAddr reports whether an address is this host's, as far as the engine knows.
func (e *Engine) hasAddr(a netip.Addr) bool {
	if e.cfg.HasAddr == nil {
		return true
	}
	has, known := e.handling.has[a]
	if known {
		return has
	}
	if e.handling.has == nil {
		e.handling.has = map[netip.Addr]bool{}
	}
	has = e.cfg.HasAddr(a)
	e.handling.has[a] = has
	return has
}
