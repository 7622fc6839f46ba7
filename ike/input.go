package ike

import (
	"net/netip"
	"time"

	"culvert/esp"
	"culvert/selector"
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
	// ProbePath asks whether an outer packet of Size octets passes on the pair's path. A PathProbed
	// effect always answers it.
	ProbePath struct {
		ID   esp.ChildID
		Size int
	}
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

func (Datagram) isInput()         {}
func (Wake) isInput()             {}
func (Connect) isInput()          {}
func (Disconnect) isInput()       {}
func (Rekey) isInput()            {}
func (Acquire) isInput()          {}
func (Expire) isInput()           {}
func (Traffic) isInput()          {}
func (PeerMoved) isInput()        {}
func (AddressesChanged) isInput() {}
func (SourceGone) isInput()       {}
func (ProbePath) isInput()        {}
func (Computed) isInput()         {}
func (SetPeers) isInput()         {}
func (ChangePeers) isInput()      {}
func (Shutdown) isInput()         {}
