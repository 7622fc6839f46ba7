package ipsec

import "culvert/selector"

// PolicyID identifies a policy within a daemon, for its whole life. The engine gives IDs, counted
// from 1, to the policies of IKE, and uses none twice. IDs from FirstManualPolicy on belong to
// policies that the engine does not know.
type PolicyID uint64

// FirstManualPolicy is the first ID of the policies of manual SAs and of bypasses.
const FirstManualPolicy PolicyID = 1 << 62

// PolicyName is what people call a policy. Two policies may have the same name for a while, after a
// change of the configuration.
type PolicyName struct {
	Peer  string // the configured name of the peer
	Party string // the canonical identity of the party; empty for a peer that has one party
	Child string // the configured name of the child
}

// Address returns the name of the party as commands take it: peer or peer#party.
func (n PolicyName) Address() string {
	if n.Party == "" {
		return n.Peer
	}
	return n.Peer + "#" + n.Party
}

func (n PolicyName) String() string { return n.Address() + "/" + n.Child }

// A Policy is one entry of the SPD (RFC 4301, Section 4.4.1): its SAs protect the traffic from
// Local to Remote.
type Policy struct {
	ID            PolicyID
	Name          PolicyName
	Local, Remote []selector.Selector
	// Fallback marks the policy that protects the networks of a peer with many parties where no
	// party is connected. It yields to policies with the same networks. It has no SAs, so that what
	// it matches is dropped.
	Fallback bool
	// Within is the policy of the peer itself that a party's policy lies in: its networks hold all
	// of the party's. It is 0 for every other policy.
	//
	// The kernel's routes and guard follow the policies without a Within, which are in force before
	// the first party comes. One with a Within adds nothing to what they protect.
	Within PolicyID
	// Standby marks a new policy that yields to one with the same networks until the control plane
	// prefers it (Plane.StandbyPolicy). Of a policy that exists already it changes nothing.
	Standby bool
	// MTU is the largest inner MTU of the SAs, also of those of the policies within this one; 0: as
	// the path allows.
	MTU int
}
