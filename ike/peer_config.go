package ike

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
)

// setPeers replaces the configured peers. A changed peer keeps the SAs that its change does not
// reach (Changes).
func (e *Engine) setPeers(list []Peer) {
	if e.stopping {
		return
	}
	defer e.endPlan()
	e.configured = true
	old := e.peers
	e.peers = newPeerTable()
	e.peers.dirty, e.peers.lastPlace = old.dirty, old.lastPlace
	for _, cfg := range list {
		if e.peers.byName[cfg.Name] != nil || len(cfg.Proposals) == 0 {
			continue // refused by the configuration
		}
		p := old.byName[cfg.Name]
		if p != nil && p.survives(&cfg) {
			p.adopt(cfg)
		} else {
			p = e.inPlaceOf(p, cfg)
		}
		e.peers.add(p)
		e.touch(p.party)
	}
	for _, p := range old.order {
		if !p.removed && e.peers.byName[p.cfg.Name] != p {
			p.removeFrom(whyChanged)
		}
	}
	for name := range e.holds {
		if e.peers.byName[name.Peer] == nil {
			delete(e.holds, name)
		}
	}
}

const whyChanged = "its configuration was changed or removed"

var errChanged = errors.New(whyChanged)

// changePeers applies changes to some peers as setPeers does to all.
func (e *Engine) changePeers(in ChangePeers) {
	if e.stopping {
		return
	}
	defer e.endPlan()
	for _, name := range in.Gone {
		if p := e.peers.byName[name]; p != nil {
			e.peers.remove(p)
			p.removeFrom(whyChanged)
		}
		e.holds.prune(&Peer{Name: name})
	}
	for _, cfg := range in.Set {
		if len(cfg.Proposals) > 0 {
			e.setPeer(cfg)
		}
	}
}

// setPeer adds or changes a peer.
func (e *Engine) setPeer(cfg Peer) {
	p := e.peers.byName[cfg.Name]
	switch {
	case p == nil:
		p = e.plannedProfile(cfg)
		e.peers.add(p)
	case p.survives(&cfg):
		e.peers.unlist(p)
		p.adopt(cfg)
		e.peers.list(p)
	default:
		old := p
		p = e.inPlaceOf(old, cfg)
		e.peers.replace(old, p)
		old.removeFrom(whyChanged)
	}
	e.touch(p.party)
}

// inPlaceOf returns the profile of a configuration that no IKE SA of the old profile survives; nil:
// there was none. What was up, or was to be, comes up again, whatever its start.
func (e *Engine) inPlaceOf(old *profile, cfg Peer) *profile {
	p := e.plannedProfile(cfg)
	if old == nil || len(cfg.Remote) == 0 {
		return p
	}
	for _, pol := range p.party.policies {
		if was := old.party.policyNamed(pol.Settings.Name); was != nil {
			pol.Follow(was)
		}
	}
	return p
}

// sameBut reports whether the configuration is the same except for the addresses.
func (p *profile) sameBut(cfg Peer) bool {
	was := p.given
	was.Remote, cfg.Remote = nil, nil
	return reflect.DeepEqual(was, cfg)
}

// setAddresses changes the addresses of a peer. A waiting try starts at once
// if an address is new, but not on every other answer of a name server: then each failure would
// start another try, without a pause between them.
func (p *profile) setAddresses(cfg Peer) {
	old := p.given.Remote
	if slices.Equal(old, cfg.Remote) {
		return
	}
	p.given.Remote = cfg.Remote
	p.cfg.Remote = cfg.Remote
	p.party.try.addr, p.party.try.missed = 0, 0
	p.e.unanswered.forget(p.party)
	if slices.ContainsFunc(cfg.Remote, func(a netip.Addr) bool { return !slices.Contains(old, a) }) {
		p.party.hasten()
	}
	p.party.redirect()
}

func (p *party) removeFrom(why string) {
	p.waiters.abandon(errors.New(why))
	p.e.timers.Stop(&p.try.Timer)
	p.e.timers.Stop(&p.replacing.timer)
	p.e.timers.Stop(&p.settling)
	p.e.timers.Stop(&p.beside.timer)
	p.e.pace.Leave(&p.turn)
	p.e.unanswered.forget(p)
	p.memory.stop()
	p.endPolicies()
	p.closeAll(why)
}
