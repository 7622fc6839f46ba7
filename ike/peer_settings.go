package ike

import (
	"iter"
	"net/netip"
	"time"

	"culvert/ike/budget"
	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/timer"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// Peer is one configured [[peer]].
type Peer struct {
	Name          string
	Remote        []netip.Addr // tried in turn; empty: the peer always initiates
	RemotePort    uint16       // IKE port of the peer, default 500
	RemoteNATPort uint16       // default 4500
	Local         netip.Addr   // our outer address; zero: the system chooses
	// Transport carries what we initiate; nil: UDP. The peer may use any.
	Transport *ipsec.Transport
	LocalID   identity.ID
	RemoteID  identity.ID // may be a pattern
	PSK       []byte
	// OtherPSKs are accepted of the peer as PSK is, while a secret is being replaced. We prove
	// ourselves by PSK alone.
	OtherPSKs [][]byte
	// Parties makes a party of its own of each identity that RemoteID, a pattern, matches. There
	// must be no Remote: such parties call us.
	Parties    bool
	MaxParties int        // of them at a time; 0: DefaultMaxParties
	Credential Credential // in place of PSK

	Proposals []wire.Proposal // IKE, in order of preference
	Lifetime  time.Duration   // of an IKE SA until its rekeying; jittered downwards by up to a tenth
	// AuthLifetime is how long an authentication is good for, in whole seconds; 0: without a limit.
	AuthLifetime time.Duration
	Encap        EncapMode
	DPD          time.Duration // 0: off
	DPDAction    DPDAction
	// Retransmit is how requests to the peer are repeated. Its fields that are zero are those of
	// Config.Retry.
	Retransmit window.RetransmitPlan
	Reconnect  timer.Backoff // the pauses between tries to bring the peer or a child up
	Fragment   int           // RFC 7383; 0: off
	// PerResource lets both sides make Child SAs for single workers beside the shared one, if the
	// peer supports it (RFC 9611).
	PerResource bool
	Children    []Child
}

// Child is one configured [[peer.child]].
type Child = child.Settings

// StartMode is [[peer.child]] start.
type StartMode = child.StartMode

// NarrowMode is [[peer.child]] narrow.
type NarrowMode = child.NarrowMode

// Values of NarrowMode.
const (
	NarrowTraffic = child.NarrowTraffic
	NarrowPeer    = child.NarrowPeer
)

// Values of StartMode.
const (
	StartTraffic = child.StartTraffic
	StartBoot    = child.StartBoot
	StartNever   = child.StartNever
)

// EncapMode is [[peer]] encap.
type EncapMode uint8

// Values of EncapMode.
const (
	EncapAuto EncapMode = iota
	EncapAlways
	EncapNever
)

// DPDAction is what to do with the children of a peer that does not answer.
type DPDAction uint8

// Values of DPDAction.
const (
	DPDRestart DPDAction = iota
	DPDTrap
	DPDClear
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
