package ike

import (
	"culvert/ike/reason"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// Effects lists what Handle asks for, in the order in which it must be done. The order is part of
// the contract: InstallInbound precedes the Send that lets the peer use the SA.
type Effects struct{ List []Effect }

// Effect is one of the Effect types below.
type Effect interface{ isEffect() }

// The effects of Engine.Handle. The receiver may keep byte slices in effects, but must not change
// them.
type (
	// Send sends an IKE message. A Keepalive is the single octet 0xFF without marker.
	Send struct {
		Path         ipsec.Path
		Keepalive    bool
		DontFragment bool // one IP packet that must not be fragmented
		FragmentSize int  // if positive, sent in IP fragments of at most this many octets
		Data         []byte
	}
	// Compute asks to call Run on any goroutine, and to return its value as Computed{ID, value}.
	// Run does not use the engine. Dear reports that it takes milliseconds, so that others may go
	// before it. Online reports that it waits for the network, for seconds, and takes no processor.
	// Proved reports that it is for a peer that has proved its identity on an IKE SA that is not
	// established yet: it is not what strangers cost.
	Compute struct {
		ID     uint64
		Run    func() any
		Dear   bool
		Online bool
		Proved bool
	}
	// InstallInbound adds the pair and accepts packets on its inbound SA. Nothing is sent on it
	// yet. The keys in it have no other copy; the receiver must clear them (ChildSA.ClearKeys).
	InstallInbound struct{ SA ipsec.ChildSA }
	// ActivateOutbound makes the pair's outbound SA the one that its policy, or its worker if it
	// has a Resource, sends on, unless a newer one is already active.
	ActivateOutbound struct{ ID ipsec.ChildID }
	// DeactivateOutbound stops sending on the pair. Its inbound SA still accepts packets.
	DeactivateOutbound struct{ ID ipsec.ChildID }
	// RemoveSA removes both SAs of the pair and frees their SPI.
	RemoveSA struct{ ID ipsec.ChildID }
	// SetPath changes the path of the pair's packets.
	SetPath struct {
		ID   ipsec.ChildID
		Path ipsec.Path
	}
	// NeedTraffic asks for a Traffic input for the pair, at once.
	NeedTraffic struct{ ID ipsec.ChildID }
	// AcquireFailed reports that what an Acquire or a failed Connect waited for will not come.
	// Packets kept for the policy may be dropped.
	AcquireFailed struct{ Policy ipsec.PolicyID }
	// InstallPolicy adds a policy to the SPD, or changes the one with its ID. It precedes the first
	// InstallInbound that serves the policy.
	InstallPolicy struct{ Policy ipsec.Policy }
	// RemovePolicy removes a policy. Its SAs, if there are any left, are no longer sent on;
	// RemoveSA follows for each.
	RemovePolicy struct{ ID ipsec.PolicyID }
	// HoldPolicy begins, or with Held false ends, to drop all packets of a policy: an operator took
	// it down. The policy is in the SPD, and stays there.
	HoldPolicy struct {
		ID   ipsec.PolicyID
		Held bool
	}
	// StandbyPolicy has a policy yield to others with the same networks, or with Standby false has
	// it matched before those that do. What comes on the SAs of either is accepted. A policy whose
	// InstallPolicy says Standby yields from the start.
	StandbyPolicy struct {
		ID      ipsec.PolicyID
		Standby bool
	}
	// ProbePair asks to send a packet on the pair which the peer answers, if it knows how. A later
	// Traffic tells when it did.
	ProbePair struct{ ID ipsec.ChildID }
	// PathProbed is the result of a ProbePath.
	PathProbed struct{ ipsec.PathProbe }
	// Resolve asks for another lookup of the peer's DNS name, because a round of tries failed for
	// any reason, or the peer does not answer. SetPeers or ChangePeers returns the result.
	Resolve struct{ Peer string }
	// Notice is an event for people, logs and tests.
	Notice struct {
		Level Level
		Peer  string
		Party string // the canonical identity, of a peer with many parties
		Child string
		Event string // a fixed word, such as "ike-up", "ike-down", "child-up", "child-down", "auth-failed"
		Text  string // a sentence, escaped, without secrets
		// Failure is the failed negotiation that it is about, whose first line Text has, or nil.
		Failure *reason.Trouble
		IKESPI  wire.SPI
		SPIIn   uint32
	}
	// Done answers the command with the same Ref. Err is nil if it succeeded, and a *reason.Error
	// if a negotiation failed.
	Done struct {
		Ref uint64
		Err error
	}
	// Stopped reports that Shutdown has finished.
	Stopped struct{}
)

func (Send) isEffect()               {}
func (Compute) isEffect()            {}
func (InstallInbound) isEffect()     {}
func (ActivateOutbound) isEffect()   {}
func (DeactivateOutbound) isEffect() {}
func (RemoveSA) isEffect()           {}
func (SetPath) isEffect()            {}
func (NeedTraffic) isEffect()        {}
func (AcquireFailed) isEffect()      {}
func (InstallPolicy) isEffect()      {}
func (RemovePolicy) isEffect()       {}
func (HoldPolicy) isEffect()         {}
func (StandbyPolicy) isEffect()      {}
func (ProbePair) isEffect()          {}
func (PathProbed) isEffect()         {}
func (Resolve) isEffect()            {}
func (Notice) isEffect()             {}
func (Done) isEffect()               {}
func (Stopped) isEffect()            {}
