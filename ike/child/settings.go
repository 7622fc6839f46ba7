package child

import (
	"time"

	"culvert/esp"
	"culvert/ike/wire"
	"culvert/selector"
)

// Settings are one configured [[peer.child]] (with IKE; manual keys never reach the engine).
type Settings struct {
	Name          string
	Local, Remote []selector.Selector
	Proposals     []wire.Proposal // ESP; a proposal with a TransformKE asks for PFS at CREATE_CHILD_SA
	Start         StartMode
	Narrow        NarrowMode
	Children      ChildrenMode
	Mode          Mode
	Lifetime      time.Duration // soft; the hard one comes a tenth later
	Limits        esp.Limits
	ReplayWindow  int
}

// NarrowMode is [[peer.child]] narrow: by what a Child SA is narrowed that does not get all of the
// child's networks (RFC 7296, Section 2.9).
type NarrowMode uint8

// Values of NarrowMode.
const (
	// NarrowTraffic: a request begins with the selectors of the packet that it is for, and what was
	// not granted is asked for when a packet needs it.
	NarrowTraffic NarrowMode = iota
	// NarrowPeer: a request has only the networks. What the peer does not grant is not asked for.
	NarrowPeer
)

// ChildrenMode is [[peer.child]] children: how many Child SAs carry the child's networks.
type ChildrenMode uint8

// Values of ChildrenMode.
const (
	// ChildrenOne: one for all of them, as far as the peer grants it.
	ChildrenOne ChildrenMode = iota
	// ChildrenPerPair: one for each pair of a local and a remote network.
	ChildrenPerPair
)

// MaxNetworkPairs is the most pairs of networks that a child with ChildrenPerPair may have.
const MaxNetworkPairs = 64

// Mode is [[peer.child]] mode: what the Child SAs protect (RFC 4301, Section 4.1).
type Mode uint8

// Values of Mode.
const (
	// Tunnel: packets between networks, each inside another packet between the gateways.
	Tunnel Mode = iota
	// Transport: what the packets between the two hosts carry. Local and Remote have one address
	// each.
	Transport
)

// StartMode is [[peer.child]] start.
type StartMode uint8

// Values of StartMode.
const (
	StartTraffic StartMode = iota
	StartBoot
	StartNever
)
