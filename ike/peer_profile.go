package ike

import (
	"iter"

	"culvert/ike/budget"
)

// profile is one configured peer: what all parties that connect by it share. Its settings change
// as far as its IKE SAs survive that (adopt).
type profile struct {
	e       *Engine
	given   Peer           // as configured
	cfg     Peer           // with defaults filled in
	place   uint64         // position in the configuration, increasing
	party   *party         // exists from the start
	members members        // with Peer.Parties: the others
	calls   calls          // refused ones from its addresses
	account budget.Account // of all IKE SAs of its parties
	removed bool           // no longer configured: its SAs are being closed
}

func (e *Engine) newProfile(cfg Peer) *profile {
	p := &profile{e: e, given: cfg, cfg: withDefaults(cfg)}
	p.party = p.newParty("")
	return p
}

func withDefaults(cfg Peer) Peer {
	if cfg.RemotePort == 0 {
		cfg.RemotePort = defaultIKEPort
	}
	if cfg.RemoteNATPort == 0 {
		cfg.RemoteNATPort = defaultNATPort
	}
	if cfg.MaxParties <= 0 {
		cfg.MaxParties = DefaultMaxParties
	}
	return cfg
}

// canConnect reports whether we can connect to the peer.
func (p *profile) canConnect() bool { return len(p.cfg.Remote) > 0 }

// all yields the profile's own party and its members.
func (p *profile) all() iter.Seq[*party] {
	return func(yield func(*party) bool) {
		for _, q := range append([]*party{p.party}, p.members.list...) {
			if !yield(q) {
				return
			}
		}
	}
}
