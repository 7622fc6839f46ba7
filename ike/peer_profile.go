package ike

// profile is one configured peer: what all parties that connect by it share. It does not change,
// except for its addresses.
type profile struct {
	e       *Engine
	given   Peer    // as configured
	cfg     Peer    // with defaults filled in
	place   uint64  // position in the configuration, increasing
	party   *party  // exists from the start
	members members // with Peer.Parties: the others
	removed bool    // no longer configured: its SAs are being closed
}

func (e *Engine) newProfile(cfg Peer) *profile {
	p := &profile{e: e, given: cfg, cfg: cfg}
	if p.cfg.RemotePort == 0 {
		p.cfg.RemotePort = defaultIKEPort
	}
	if p.cfg.RemoteNATPort == 0 {
		p.cfg.RemoteNATPort = defaultNATPort
	}
	p.party = p.newParty("")
	return p
}
