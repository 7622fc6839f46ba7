package ike

import (
	"container/list"
	"iter"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/budget"
	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/pacing"
	"culvert/ike/timer"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
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
	MaxParties int // of them at a time; 0: DefaultMaxParties
	// Certificates are in place of PSK for the side, or sides, that they are for; see Auth.
	Certificates *Certificates
	// Auth are the kinds of proof by which we prove ourselves, and RemoteAuth those by which the
	// peer may, in the order of preference. Empty: by a certificate or key if there is one for the
	// side in Certificates, and otherwise by PSK.
	Auth, RemoteAuth []AuthKind
	Credential       Credential // in place of all these

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
	// Priority makes the peer's children one of several for their networks: of those with the same
	// networks, packets go through that of the least Priority that works. 0: the networks are the
	// peer's own.
	Priority int
	// PerResource lets both sides make Child SAs for single workers beside the shared one, if the
	// peer supports it (RFC 9611).
	PerResource bool
	Childless   ChildlessMode
	Children    []Child
}

// Child is one configured [[peer.child]].
type Child = child.Settings

// ChildrenMode is [[peer.child]] children.
type ChildrenMode = child.ChildrenMode

// Values of ChildrenMode.
const (
	ChildrenOne     = child.ChildrenOne
	ChildrenPerPair = child.ChildrenPerPair
)

// MaxNetworkPairs is the most pairs of networks of a child with ChildrenPerPair.
const MaxNetworkPairs = child.MaxNetworkPairs

// NetworkPairs returns the number of pairs of a local and a remote network that a packet can match.
func NetworkPairs(local, remote []selector.Selector) int { return child.NetworkPairs(local, remote) }

// StartMode is [[peer.child]] start.
type StartMode = child.StartMode

// NarrowMode is [[peer.child]] narrow.
type NarrowMode = child.NarrowMode

// Values of NarrowMode.
const (
	NarrowTraffic = child.NarrowTraffic
	NarrowPeer    = child.NarrowPeer
)

// ChildMode is [[peer.child]] mode.
type ChildMode = child.Mode

// Values of ChildMode.
const (
	ModeTunnel    = child.Tunnel
	ModeTransport = child.Transport
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
	local   identity.ID    // cfg.LocalID in its canonical form
	place   uint64         // position in the configuration, increasing
	party   *party         // exists from the start
	members members        // with Peer.Parties: the others
	calls   calls          // refused ones from its addresses
	account budget.Account // of all IKE SAs of its parties
	removed bool           // no longer configured: its SAs are being closed
	// announced is what its credential adds to the response of IKE_SA_INIT.
	announced announcement
}

func (e *Engine) newProfile(cfg Peer) *profile {
	p := &profile{e: e, given: cfg, cfg: withDefaults(cfg), local: cfg.LocalID.Canonical()}
	p.announced = announcementOf(encodeAnnouncement(p.announceCredential(false)))
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

// party is the other end of a profile, with its IKE SAs and its policies.
type party struct {
	*profile
	policies []*child.Policy
	sas      []*ikeSA // oldest first
	try      try
	child.Trouble
	account   budget.Account // of its IKE SAs
	lines     budget.Lines   // of the log
	waiters   waiters
	replacing replacement
	turn      pacing.Turn // to connect
	// unanswered holds the party's places in the unansweredTable, by address.
	unanswered map[netip.Addr]*list.Element
	obstacle   *obstacle   // nil: none was reported
	settling   timer.Timer // of settleDuplicates
	beside     besides
	memory     encapMemory
	dirty      bool
	unprobed   bool // it was reported that its path is not probed

	// Of a party that is one of many:
	name      string // its identity, as people see it; empty for the one that exists from the start
	key       identity.ID
	number    uint64 // by age
	agreed    map[*child.Policy]networks
	claimed   []addrRange
	forgotten bool
}

// try is the state of our attempts to bring the peer up.
type try struct {
	child.Retry
	addr       int       // index into Remote of the next address to try
	missed     int       // addresses that did not answer in this round
	asked      time.Time // when the first of them was asked last
	unanswered Asked     // of the attempts since the peer was last heard
	hastened   time.Time // when a pause was last cut short
	calledBack time.Time // when packets on lost Child SAs last made us connect
	again      time.Time // when an attempt was last allowed to end so that another begins at once
	met        bool      // an IKE SA was established once
	// childInAuth is until when IKE_AUTH asks for a Child SA in spite of ChildlessPrefer.
	childInAuth time.Time
	prompt      bool // the peer was lost just now, and no try has failed since
}

// newParty returns a party with the policies of the profile's children, which are not in the SPD
// yet.
func (p *profile) newParty(name string) *party {
	q := &party{profile: p, name: name}
	q.try.Timer.Fire = func() { p.e.touch(q) }
	q.replacing.timer.Fire, q.settling.Fire, q.beside.timer.Fire = q.try.Timer.Fire, q.try.Timer.Fire, q.try.Timer.Fire
	q.turn.Called = q.try.Timer.Fire
	q.memory.bind(q)
	for _, c := range p.cfg.Children {
		q.policies = append(q.policies, q.newPolicy(c))
	}
	return q
}

func (p *party) newPolicy(c Child) *child.Policy {
	pol := child.NewPolicy(p.e.pairs, p, p.e.policies.next(), ipsec.PolicyName{Peer: p.cfg.Name, Party: p.name, Child: c.Name}, c)
	p.e.obey(pol)
	return pol
}

// main returns the IKE SA for new exchanges, the newest usable one, or nil.
func (p *party) main() *ikeSA {
	for _, s := range slices.Backward(p.sas) {
		if s.usable() {
			return s
		}
	}
	return nil
}

// trying reports whether an attempt of ours is under way.
func (p *party) trying() bool {
	return slices.ContainsFunc(p.sas, func(s *ikeSA) bool { return s.connecting() })
}

func (p *party) policyNamed(name string) *child.Policy {
	for _, pol := range p.policies {
		if pol.Settings.Name == name {
			return pol
		}
	}
	return nil
}

// removeFrom closes a profile that is no longer configured.
func (p *profile) removeFrom(why string) {
	p.removed = true
	for q := range p.all() {
		q.removeFrom(why)
	}
}
