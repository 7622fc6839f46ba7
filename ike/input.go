package ike

import (
	"net/netip"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// Input is an event: one of the Input types below.
type Input interface{ isInput() }

// The inputs of Engine.Handle.
type (
	// Datagram is an IKE message as received, without the non-ESP marker. It is answered on its
	// Path. Data is borrowed for the call.
	Datagram struct {
		Path ipsec.Path
		Data []byte
	}
	// Wake reports that Deadline was reached.
	Wake struct{}
	// Connect brings up a peer, or one child of it. An empty Child means all children. It ends what
	// Disconnects of the same, or of parts of it, hold down. A peer that only calls us may call
	// again then, and Connect does not wait for it. With Alone, for a whole peer, no child is
	// brought up: only the IKE SA is, once, and the command fails where the peer makes none without
	// a Child SA (RFC 6023). Ref names the command in the Done effect.
	Connect struct {
		Peer, Child string
		Alone       bool
		Ref         uint64
	}
	// Disconnect closes a peer or one child of it, and holds it down until Connect, whatever else
	// asks for it: its packets are dropped and the peer's calls are refused. By is who gave the
	// command. With Once it is closed, and then anything may bring it up again.
	Disconnect struct {
		Peer, Child string
		Once        bool
		By          string
		Ref         uint64
	}
	// Rekey rekeys a peer's IKE SA (Child empty) or one of its children.
	Rekey struct {
		Peer, Child string
		Ref         uint64
	}
	// Acquire reports that a packet matched a policy that has no SA (RFC 4301, Section 4.4.1). With
	// a Resource, the policy has SAs, but none for this worker, which is counted from 1 and busy.
	Acquire struct {
		Policy   ipsec.PolicyID
		Flow     selector.Flow
		Resource int
	}
	// Expire reports that a Child SA reached a byte or packet limit.
	Expire struct {
		ID   ipsec.ChildID
		Hard bool
	}
	// Traffic reports when packets were last seen on a Child SA pair, for liveness, NAT keepalives
	// and the responder's switch to a rekeyed SA (RFC 7296, Sections 2.4 and 2.8). The driver sends
	// it after NeedTraffic and on the first inbound packet of a new SA.
	Traffic struct {
		ID ipsec.ChildID
		ipsec.Traffic
	}
	// PeerMoved reports that an authenticated ESP packet of the SA came on a new path (RFC 7296,
	// Section 2.23).
	PeerMoved struct {
		ID   ipsec.ChildID
		Path ipsec.Path
	}
	// AddressesChanged reports that addresses, links or routes of this host changed. Every IKE SA
	// is checked, in portions, for whether its messages must be sent from another address.
	AddressesChanged struct{}
	// Unreachable reports that packets of the pair, or on the path if ID is zero, do not arrive:
	// this host refuses to send them, or an ICMP error says so, which anybody can forge. It is
	// shown, and taken as a Hint. For the lack of a route the IKE SA is also checked as by
	// AddressesChanged.
	Unreachable struct {
		ID ipsec.ChildID
		ipsec.Unreachable
	}
	// Hint reports a sign, which anybody can cause, that the peer of a Child SA, or whoever is at
	// an address, has lost its SAs or cannot be reached. The IKE SAs concerned are checked at once,
	// at a limited rate. Either field may be zero. An ID also says that packets are sent on the SAs
	// of its policy, and suddenly none come any more, by which a standby may take over.
	Hint struct {
		ID     ipsec.ChildID
		Remote netip.Addr
	}
	// Unheard reports that packets were sent for the pair's policy for some time, and none came.
	Unheard struct{ ID ipsec.ChildID }
	// PortBlocked reports that what is sent on the pair from our port of Path, which is not that of
	// its own path, does not arrive, or that this host refuses it. It is sent from the other.
	PortBlocked struct {
		ID   ipsec.ChildID
		Path ipsec.Path
		Why  ipsec.Obstacle
	}
	// Probed reports that the peer asked by a ProbePair of its own whether packets arrive, which
	// the dataplane has answered. It may miss those of the pair's policy.
	Probed struct{ ID ipsec.ChildID }
	// UnknownSPI reports ESP with an SPI that is not in use (RFC 7296, Section 1.5). Whoever sent
	// it may send on a Child SA that we have lost. Size is the packet's, from the SPI on.
	UnknownSPI struct {
		Path ipsec.Path
		SPI  uint32
		Size int
	}
	// ProbePath asks whether an outer packet of Size octets passes on the pair's path. A PathProbed
	// effect always answers it.
	ProbePath struct {
		ID   ipsec.ChildID
		Size int
	}
	// Computed is the result of a Compute effect.
	Computed struct {
		ID    uint64
		Value any
	}
	// PlanPeers asks for the policies that a SetPeers (Whole) or ChangePeers with the same contents
	// adds and removes, as InstallPolicy and RemovePolicy. Nothing else happens. When the policies
	// are in force, the SetPeers or ChangePeers itself follows, which then leaves these effects
	// out. So no packet is sent for a peer whose networks are not protected yet. There is an
	// InstallPolicy for every child of every peer of Set, whether it changes or not; parties that
	// stay are not told again.
	PlanPeers struct {
		Set   []Peer
		Gone  []string
		Whole bool
	}
	// SetPeers replaces the configured peers. The SAs of a removed one are closed, and those that
	// the change of another one reaches (Changes).
	SetPeers struct{ Peers []Peer }
	// ChangePeers adds or changes the peers in Set and removes those named in Gone. Others stay as
	// they are. Each is treated as by SetPeers, except that a new one is placed last.
	ChangePeers struct {
		Set  []Peer
		Gone []string
	}
	// Shutdown deletes every SA. A Stopped effect follows when all peers have answered or were
	// given up.
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
func (Unreachable) isInput()      {}
func (Hint) isInput()             {}
func (Unheard) isInput()          {}
func (PortBlocked) isInput()      {}
func (Probed) isInput()           {}
func (UnknownSPI) isInput()       {}
func (ProbePath) isInput()        {}
func (Computed) isInput()         {}
func (PlanPeers) isInput()        {}
func (SetPeers) isInput()         {}
func (ChangePeers) isInput()      {}
func (Shutdown) isInput()         {}
