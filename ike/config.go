// Package ike is a sans-I/O IKEv2 engine (RFC 7296): all policy, no sockets, no clock, no goroutines. It is fed Inputs with
// the time at which they happened and answers with Effects: messages to send, SAs to install, slow computations to run.
package ike

import (
	"io"
	"net/netip"
	"time"

	"culvert/esp"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/selector"
)

// Config is what an Engine is made of; it does not change afterwards, save the peers (SetPeers).
type Config struct {
	Rand   io.Reader     // all randomness but that of key exchanges
	KE     suite.KEMaker // key exchanges; tests plug in a fake group
	SPIs   SPIAllocator  // inbound ESP SPIs: the dataplane chooses them, so that their low bits are a slot
	Limits EngineLimits  // zero fields take their defaults
	// Resources is the number of the dataplane's workers. With more than one of them a peer with PerResource is asked for a Child SA for each (RFC 9611).
	Resources int
	Retry     RetransmitPlan // zero fields take their defaults

	IKEPort, NATPort uint16 // our own UDP ports: 500 and 4500 where zero
	// LocalAddr is the address that the system would send from to remote, or the zero Addr. NAT detection needs it for a peer without a Local
	// of its own: with a nil LocalAddr such a peer takes us to be behind a NAT. It is called in Handle and must be quick.
	LocalAddr func(remote netip.Addr) netip.Addr
	// HasAddr reports whether an address is this host's, and one at which its sockets receive.
	// Nil: all are. It is called in Handle and must be quick.
	HasAddr func(local netip.Addr) bool
}

// SPIAllocator hands out inbound ESP SPIs, for a resource (esp.ChildSA) one that names it. Free returns one that no RemoveSA effect will ever name.
type SPIAllocator interface {
	AllocSPI(resource int) (uint32, error)
	FreeSPI(spi uint32)
}

// EngineLimits bound the engine's state against hostile peers.
type EngineLimits struct {
	CookieThreshold int // half-open SAs above which cookies are demanded (RFC 7296, Section 2.6); default 64
	MaxHalfOpen     int // half-open SAs above which new ones are dropped; default 4096, and a sixteenth from one address
	MaxIKESAs       int // all IKE SAs, those that a rekeying has replaced among them; default 250000
	MaxChildren     int // Child SAs of one IKE SA; default 256
}

// RetransmitPlan is the back-off of requests: First, then First*Factor, ..., Tries retransmissions in all; then the IKE SA is given up.
// Jitter of up to a tenth is added to each. Defaults 1 s, 1.8, 6 (about 75 s in all).
type RetransmitPlan struct {
	First  time.Duration
	Factor float64
	Tries  int
}

// Peer is one configured [[peer]].
type Peer struct {
	Name          string
	Remote        []netip.Addr // empty: only answers. Tried in turn.
	RemotePort    uint16       // IKE port of the peer, default 500
	RemoteNATPort uint16       // default 4500
	Local         netip.Addr   // our outer address; zero: the system chooses
	LocalID       Identity
	RemoteID      Identity // may be a pattern
	PSK           []byte

	Proposals []wire.Proposal // IKE, in order of preference
	Lifetime  time.Duration   // IKE SA rekeying; jittered downwards by up to a tenth
	Encap     EncapMode
	DPD       time.Duration // 0: off
	DPDAction DPDAction
	Fragment  int // RFC 7383; 0: off
	// PerResource lets both sides make Child SAs for single workers beside the one that all share, where the peer does too (RFC 9611).
	PerResource bool
	Children    []Child
}

// Child is one configured [[peer.child]] (with IKE; manual keys never reach the engine).
type Child struct {
	Name          string
	Local, Remote []selector.Selector
	Proposals     []wire.Proposal // ESP; a proposal with a TransformKE asks for PFS at CREATE_CHILD_SA
	Start         StartMode
	Lifetime      time.Duration // soft; the hard one comes a tenth later
	Limits        esp.Limits
	ReplayWindow  int
}

// EncapMode is [[peer]] encap.
type EncapMode uint8

// Values of EncapMode.
const (
	EncapAuto EncapMode = iota
	EncapAlways
	EncapNever
)

// StartMode is [[peer.child]] start.
type StartMode uint8

// Values of StartMode.
const (
	StartTraffic StartMode = iota
	StartBoot
	StartNever
)

// DPDAction is what to do with the children of a peer found dead.
type DPDAction uint8

// Values of DPDAction.
const (
	DPDRestart DPDAction = iota
	DPDTrap
	DPDClear
)

// Input is something that happened: one of the Input types below.
type Input interface{ isInput() }

// The inputs of Engine.Handle.
type (
	// Datagram is an IKE message as it came, the non-ESP marker taken off. Data is borrowed for the call.
	Datagram struct {
		Local, Remote netip.AddrPort
		NATPort       bool // it came to our NAT port (4500), with the marker
		Data          []byte
	}
	// Wake says that Deadline was reached.
	Wake struct{}
	// Connect asks for a peer, or one child of it, to be brought up (Child empty: all of them). Ref names the command in the Done notice.
	Connect struct {
		Peer, Child string
		Ref         uint64
	}
	// Disconnect closes a peer or one child of it and keeps it down until Connect or traffic asks for it again.
	Disconnect struct {
		Peer, Child string
		Ref         uint64
	}
	// Rekey rekeys a peer's IKE SA (Child empty) or one of its children.
	Rekey struct {
		Peer, Child string
		Ref         uint64
	}
	// Acquire says that a packet matched a policy that has no SA (RFC 4301, Section 4.4.1). With a Resource, that the policy has SAs, but none for this worker, which
	// is counted from 1, and busy.
	Acquire struct {
		Policy   esp.Policy
		Flow     selector.Flow
		Resource int
	}
	// Expire says that a Child SA reached a byte or packet limit.
	Expire struct {
		ID   esp.ChildID
		Hard bool
	}
	// Traffic tells when packets were last seen on a Child SA pair, for liveness, NAT keepalives and the
	// responder's switch to a rekeyed SA (RFC 7296, Sections 2.4 and 2.8). The driver reports it when polled (NeedTraffic) and on the
	// first inbound packet of a new SA.
	Traffic struct {
		ID              esp.ChildID
		LastIn, LastOut time.Time // zero: never
	}
	// PeerMoved says that an authenticated ESP packet of the SA came from a new outer address (RFC 7296, Section 2.23).
	PeerMoved struct {
		ID     esp.ChildID
		Remote netip.AddrPort
	}
	// AddressesChanged says that addresses, links or routes of this host changed: every IKE SA is
	// looked at, in portions, whether it has to be sent to from another address.
	AddressesChanged struct{}
	// SourceGone says that packets of the pair cannot be sent, because the system has no route
	// from their source: the same for one IKE SA, at once.
	SourceGone struct{ ID esp.ChildID }
	// Computed is the result of a Compute effect.
	Computed struct {
		ID    uint64
		Value any
	}
	// SetPeers replaces the configured peers. A peer that did not change keeps its SAs; a removed or changed one is closed.
	SetPeers struct{ Peers []Peer }
	// ChangePeers adds or changes the peers Set, removes those with the names Gone, and leaves all others alone. What becomes of each is as with SetPeers, save
	// that a new one comes behind all others.
	ChangePeers struct {
		Set  []Peer
		Gone []string
	}
	// Shutdown deletes every SA; a Stopped effect says that all peers answered or were given up.
	Shutdown struct{}
)

// Effects are what Handle asks for, in the order in which it must be done. The order is part of the contract: InstallInbound comes
// before the Send that lets the peer use the SA.
type Effects struct{ List []Effect }

// Effect is one of the Effect types below.
type Effect interface{ isEffect() }

// The effects of Engine.Handle. Byte slices in effects are the receiver's to keep, but not to change.
type (
	// Send sends an IKE message. NATPort: from our NAT port, with the non-ESP marker. A Keepalive is the single octet 0xFF without marker.
	Send struct {
		Local, Remote netip.AddrPort // Local's address may be invalid: the system chooses
		NATPort       bool
		Keepalive     bool
		Data          []byte
	}
	// Compute runs Run on any goroutine; its value comes back as Computed{ID, value}. Run touches nothing of the engine.
	Compute struct {
		ID  uint64
		Run func() any
	}
	// InstallInbound makes the inbound SA of the pair live, and makes the pair known; nothing is sent on it yet.
	// The keys in it are nowhere else, and are for who carries this out to clear (ChildSA.ClearKeys).
	InstallInbound struct{ SA esp.ChildSA }
	// ActivateOutbound makes the pair's outbound SA the one that its policy, or for one with a Resource that worker, sends on, unless a newer one is already.
	ActivateOutbound struct{ ID esp.ChildID }
	// DeactivateOutbound ends the sending on the pair. What comes on it is still let in.
	DeactivateOutbound struct{ ID esp.ChildID }
	// RemoveSA removes both SAs of the pair and frees their SPI.
	RemoveSA struct{ ID esp.ChildID }
	// SetEndpoint changes where the pair's packets go.
	SetEndpoint struct {
		ID       esp.ChildID
		Endpoint esp.Endpoint
	}
	// NeedTraffic asks for a Traffic input for the pair, at once.
	NeedTraffic struct{ ID esp.ChildID }
	// AcquireFailed says that what an Acquire (or a failed Connect) waited for will not come: kept packets of the policy may be dropped.
	AcquireFailed struct{ Policy esp.Policy }
	// Resolve asks for the peer's DNS name to be looked up again, because a round of tries failed,
	// whatever the reason; SetPeers or ChangePeers brings the result.
	Resolve struct{ Peer string }
	// Notice is an event for people, logs and tests.
	Notice struct {
		Level  Level
		Peer   string
		Child  string
		Event  string // a fixed word: "ike-up", "ike-down", "child-up", "child-down", "ike-rekeyed", "child-rekeyed", "auth-failed", ...
		Text   string // the sentence, escaped, without secrets
		IKESPI wire.SPI
		SPIIn  uint32
	}
	// Done answers the command of the same Ref; Err is nil when it succeeded, and otherwise says why in words.
	Done struct {
		Ref uint64
		Err error
	}
	// Stopped says that Shutdown has finished.
	Stopped struct{}
)

// Level is a Notice's weight.
type Level uint8

// Levels.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// PeerStatus is a snapshot of one configured peer and its children (Engine.Status).
type PeerStatus struct {
	Name          string
	State         PeerState
	Local, Remote netip.AddrPort
	RemoteID      string
	SPIi, SPIr    wire.SPI
	Proposal      string
	NAT           NATState
	Established   time.Time // of the first IKE SA of the line: rekeyings do not count
	RekeyAt       time.Time // zero: none planned
	Reason        string    // why it is not up, and what happens next
	Explain       []string  // the last failure at length: both proposals, selectors or identities, and the first difference
	Children      []ChildStatus
}

// ChildStatus is a snapshot of one configured child.
type ChildStatus struct {
	Name              string
	State             ChildState
	ID                esp.ChildID
	Encap             bool
	SPIIn, SPIOut     uint32
	Proposal          string
	LocalTS, RemoteTS []selector.Selector
	RekeyAt           time.Time
	Rekeys            int
	Reason            string
	Resources         []ResourceStatus // Child SAs for single workers besides
}

// ResourceStatus is a snapshot of a Child SA that is for a single worker.
type ResourceStatus struct {
	Resource      int // the worker, counted from 1
	State         ChildState
	ID            esp.ChildID // 0: being negotiated
	SPIIn, SPIOut uint32
	RekeyAt       time.Time
}

// PeerState is a peer's state as status shows it.
type PeerState uint8

// Peer states.
const (
	PeerDown PeerState = iota
	PeerConnecting
	PeerEstablished
	PeerRekeying
	PeerClosing
)

// ChildState is a child's state as status shows it.
type ChildState uint8

// Child states.
const (
	ChildDown ChildState = iota
	ChildWaiting
	ChildNegotiating
	ChildInstalled
	ChildRekeying
)

// NATState says which sides of an IKE SA are behind a NAT (RFC 7296, Section 2.23).
type NATState struct{ Local, Remote bool }
