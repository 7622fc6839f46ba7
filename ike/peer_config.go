package ike

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"time"
)

// setPeers makes the engine's peers those of the configuration. A peer that did not change keeps its IKE SAs, and one whose addresses alone changed does too: they
// change whenever its name is looked up.
func (e *Engine) setPeers(list []Peer) {
	if e.stopping {
		return
	}
	old := e.peers
	e.peers = newPeerTable()
	e.peers.dirty, e.peers.lastPlace = old.dirty, old.lastPlace
	for _, cfg := range list {
		if e.peers.byName[cfg.Name] != nil || len(cfg.Proposals) == 0 {
			continue // the configuration refuses both
		}
		p := old.byName[cfg.Name]
		if p != nil && p.sameBut(cfg) {
			p.setAddresses(cfg)
		} else {
			p = e.newPeer(cfg)
		}
		e.peers.add(p)
		e.touch(p)
	}
	for _, p := range old.order {
		if !p.removed && e.peers.byName[p.cfg.Name] != p {
			p.removeFrom(whyChanged)
		}
	}
}

const whyChanged = "its configuration was changed or removed"

// changePeers does for a few peers what setPeers does for all.
func (e *Engine) changePeers(in ChangePeers) {
	if e.stopping {
		return
	}
	for _, name := range in.Gone {
		if p := e.peers.byName[name]; p != nil {
			e.peers.remove(p)
			p.removeFrom(whyChanged)
		}
	}
	for _, cfg := range in.Set {
		if len(cfg.Proposals) > 0 {
			e.setPeer(cfg)
		}
	}
}

// setPeer adds a peer, or changes it.
func (e *Engine) setPeer(cfg Peer) {
	p := e.peers.byName[cfg.Name]
	switch {
	case p == nil:
		p = e.newPeer(cfg)
		e.peers.add(p)
	case p.sameBut(cfg):
		e.peers.unlist(p)
		p.setAddresses(cfg)
		e.peers.list(p)
	default:
		old := p
		p = e.newPeer(cfg)
		e.peers.replace(old, p)
		old.removeFrom(whyChanged)
	}
	e.touch(p)
}

// sameBut compares all of the configuration but the addresses.
func (p *peer) sameBut(cfg Peer) bool {
	was := p.given
	was.Remote, cfg.Remote = nil, nil
	return reflect.DeepEqual(was, cfg)
}

// setAddresses takes the addresses of a peer that is otherwise the same. A try that waits begins
// at once if there is an address that was not known before, but not whenever a name server gives
// another answer: that would be a try for each failure, without the pause between them.
func (p *peer) setAddresses(cfg Peer) {
	old := p.given.Remote
	if slices.Equal(old, cfg.Remote) {
		return
	}
	p.given.Remote = cfg.Remote
	p.cfg.Remote = cfg.Remote
	p.try.addr, p.try.missed = 0, 0
	if slices.ContainsFunc(cfg.Remote, func(a netip.Addr) bool { return !slices.Contains(old, a) }) {
		p.hasten()
	}
}

// removeFrom closes a peer that is no longer in the configuration.
func (p *peer) removeFrom(why string) {
	p.removed = true
	p.waiters.abandon(errors.New(why))
	p.e.timers.stop(&p.try.timer)
	for _, pol := range p.policies {
		pol.want = false
		p.e.timers.stop(&pol.retry.timer)
		if pol.flow != nil {
			p.e.emit(AcquireFailed{Policy: pol.name()})
		}
	}
	p.closeAll(why)
}

// shutdownLimit is how long Shutdown waits for the peers' answers. A peer acts on our Delete whether we see its answer or not: the wait is for the Delete that
// was lost, and for the exchange that it must wait for, the window being one. It is short, for who stops a daemon waits, too; a peer that heard nothing finds out by itself
// (RFC 7296, Section 2.4).
const shutdownLimit = 600 * time.Millisecond

// shutdownRetry is how what waits for an answer is sent again meanwhile: twice.
var shutdownRetry = RetransmitPlan{First: shutdownLimit / 4, Factor: 2}

// shutdown deletes every IKE SA.
func (e *Engine) shutdown() {
	if e.stopping {
		return
	}
	e.stopping = true
	for p := range e.peers.all() {
		p.waiters.abandon(errStopping)
		p.closeAll("the daemon stops")
	}
	for _, s := range e.sortedSAs() {
		if s.win.out != nil {
			e.after(&s.win.retransmit, s.pause(0))
		}
	}
	e.after(&e.stopped, shutdownLimit)
}

// checkStopped ends Shutdown when nothing waits for an answer any more.
func (e *Engine) checkStopped() {
	if !e.stopping || e.stopped.pos == 0 {
		return
	}
	for _, s := range e.sas.bySPI {
		if s.state == saClosing || s.state == saRekeyed {
			return
		}
	}
	e.timers.stop(&e.stopped)
	e.endShutdown()
}

// endShutdown removes what is left in the dataplane.
func (e *Engine) endShutdown() {
	for _, s := range e.sortedSAs() {
		if s.state < saDead {
			s.end(endLocal, "the daemon stops")
		}
	}
	for _, p := range e.sortedPairs() {
		p.gone(e)
	}
	e.emit(Stopped{})
}

// sortedSAs and sortedPairs are in an order that is the same in every run.
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

func (e *Engine) sortedPairs() []*pair {
	var list []*pair
	for _, p := range e.pairs {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *pair) int { return int(a.sa.ID) - int(b.sa.ID) })
	return list
}
