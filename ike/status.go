package ike

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/reason"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// PeerStatus is a snapshot of one configured peer and its children (Engine.Status).
type PeerStatus struct {
	Name          string
	Party         string // its identity, if the peer has many parties and this one is connected
	State         PeerState
	Local, Remote netip.AddrPort
	RemoteID      string
	SPIi, SPIr    wire.SPI
	LocalID       string      // as configured
	Auth          AuthMethods // of the IKE SA
	Proposal      string
	NAT           NATState
	Established   time.Time // of the first IKE SA; rekeyings do not count
	RekeyAt       time.Time // zero: none planned
	ExpiresAt     time.Time // the hard end of the IKE SA; zero: there is none
	Initiator     bool      // of the IKE SA: we began it
	Reason        string    // why it is not up, and what happens next
	// Unreachable is what keeps packets from it, as this host and ICMP errors tell; "": nothing was
	// reported lately.
	Unreachable string
	// Explain has details of the last failures: both sides' proposals, networks or identities.
	Explain []string
	// Failure is the last attempt that failed, and RefusedCall the last call that was refused
	// before the caller was authenticated, which may be of somebody else. Their Cause is "" if
	// there was none since the peer was connected last.
	Failure, RefusedCall reason.Trouble
	Held                 *Hold // an operator holds it down; nil: none does
	Facts                Facts // for a diagnosis
	Children             []ChildStatus
	Parties              PartyCount // of the configured peer
}

// PartyCount counts the parties of a peer with many; Max is 0 for any other peer.
type PartyCount struct {
	Connected, Max int
	Refused        uint64 // identities that were refused because there were too many
}

// ChildStatus is a snapshot of one configured child.
type ChildStatus struct {
	Name              string
	Policy            ipsec.PolicyID
	State             ChildState
	ID                ipsec.ChildID
	Encap             bool
	Transport         bool   // transport mode: as agreed, or without a Child SA as configured
	EncapWhy          string // the reason for Encap, in words
	SPIIn, SPIOut     uint32
	Proposal          string
	LocalTS, RemoteTS []selector.Selector // granted
	// AskedLocal and AskedRemote are the policy's networks. Narrow reports that the Child SAs carry
	// less.
	AskedLocal, AskedRemote []selector.Selector
	Narrow                  bool
	RekeyAt                 time.Time
	ExpiresAt               time.Time // the hard end of its SA; zero: there is none
	Rekeys                  int
	Reason                  string
	Failed                  string           // why the last negotiation for it failed; "": it did not
	Wanted                  bool             // it is to be up
	Failure                 reason.Trouble   // of the last negotiation; its Cause is "" if none failed since it came up
	Role                    *Role            // among children with the same networks; nil: there are no others
	Held                    *Hold            // an operator holds it, or its peer, down; nil: none does
	Resources               []ResourceStatus // Child SAs for single workers
	Parts                   []PartStatus     // Child SAs for what the first one does not carry
}

// PartStatus is a snapshot of a Child SA for a part of a child's networks.
type PartStatus struct {
	State             ChildState
	ID                ipsec.ChildID
	SPIIn, SPIOut     uint32
	LocalTS, RemoteTS []selector.Selector
	RekeyAt           time.Time
}

// ResourceStatus is a snapshot of a Child SA for a single worker.
type ResourceStatus struct {
	Resource      int // the worker, counted from 1
	State         ChildState
	ID            ipsec.ChildID // 0: being negotiated
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

// shown returns the IKE SA that status describes: the one for new exchanges, otherwise the newest
// that has not ended, or nil.
func (p *party) shown() *ikeSA {
	if s := p.main(); s != nil {
		return s
	}
	for _, s := range slices.Backward(p.sas) {
		if !s.state.ended() && s.state != saEmbryo {
			return s
		}
	}
	return nil
}

func (p *party) status() PeerStatus {
	st := PeerStatus{Name: p.cfg.Name, Party: p.name, RemoteID: p.cfg.RemoteID.String(), LocalID: p.cfg.LocalID.String(), Reason: p.Reason, Explain: slices.Clone(p.Explain), Unreachable: p.obstacleText()}
	st.Failure, st.RefusedCall = failureOf(p.Trouble), failureOf(p.calls.Trouble)
	if p.cfg.Parties {
		st.Parties = PartyCount{p.present(), p.cfg.MaxParties, p.members.refused}
	}
	s := p.shown()
	if s != nil {
		s.describe(&st)
	} else if len(p.cfg.Remote) > 0 {
		st.Remote = netip.AddrPortFrom(p.cfg.Remote[p.try.addr%len(p.cfg.Remote)], p.cfg.RemotePort)
	}
	st.Facts = p.facts(s)
	h := p.hold()
	st.Held = h.shown()
	switch {
	case st.State == PeerEstablished || st.State == PeerRekeying:
		st.Reason = ""
	case h != nil && st.State == PeerDown:
		st.Reason = h.until()
	default:
		if !strings.Contains(st.Reason, st.Unreachable) {
			st.Reason = join(st.Reason, st.Unreachable)
		}
		st.Reason = join(join(st.Reason, p.calls.Reason), p.whatNext(s))
		st.Explain = append(st.Explain, p.calls.Explain...)
	}
	for _, pol := range p.policies {
		c := childStatus(pol, st.State)
		if c.State == ChildDown && c.Reason == "" {
			c.Reason = st.Reason
		}
		st.Children = append(st.Children, c)
		for _, line := range pol.Explain {
			st.Explain = append(st.Explain, "child "+identity.Printable(pol.Settings.Name)+": "+line)
		}
	}
	return st
}

// failureOf returns a trouble with details of its own, or zero if it is of no failed negotiation.
func failureOf(t reason.Trouble) reason.Trouble {
	if t.Cause == "" {
		return reason.Trouble{}
	}
	t.Explain = slices.Clone(t.Explain)
	return t
}

// describe sets the fields that come from an IKE SA.
func (s *ikeSA) describe(st *PeerStatus) {
	st.Local, st.Remote = s.net.Local(), s.net.Remote()
	st.SPIi, st.SPIr = s.spi.I, s.spi.R
	st.NAT, st.Auth = s.net.nat, s.auth.methods
	st.Established, st.RekeyAt, st.Initiator = s.life.since, s.life.rekeyAt, s.initiator
	if s.state.authenticated() {
		st.ExpiresAt = s.life.hard.At()
	}
	if s.keys.suite != nil {
		st.Proposal = suite.IKEProposalName(s.keys.proposal)
	}
	if s.remoteID.Data != "" {
		st.RemoteID = s.remoteID.String()
	}
	st.State = s.peerState()
	if st.State == PeerConnecting && s.setup.refusal.Cause != "" {
		t := s.setup.refusal.Trouble()
		st.Reason, st.Explain = t.Reason, slices.Clone(t.Explain)
	}
}

// peerState returns the state of a peer that status describes by the IKE SA.
func (s *ikeSA) peerState() PeerState {
	switch {
	case s.state == saConnecting || s.state == saAuthenticating:
		return PeerConnecting
	case s.state == saClosing:
		return PeerClosing
	case s.state == saRekeyed || s.succ.ours != nil || s.succ.theirs != nil:
		return PeerRekeying
	case s.state == saEstablished:
		return PeerEstablished
	}
	return PeerDown
}

func childStatus(pol *child.Policy, peer PeerState) ChildStatus {
	st := ChildStatus{Name: pol.Settings.Name, Policy: pol.ID, Rekeys: pol.Rekeys(), Reason: pol.Reason, Failed: pol.Reason, Failure: failureOf(pol.Trouble), Wanted: pol.Wanted()}
	st.AskedLocal, st.AskedRemote = pol.Owner().Networks(pol)
	st.Transport = pol.Settings.Mode == child.Transport
	h := pol.Owner().(*party).e.holds.on(pol.Name)
	st.Held = h.shown()
	st.Role = roleOf(pol)
	p := pol.Best()
	if p == nil {
		st.State = ChildDown
		switch {
		case pol.Held():
		case pol.Busy() || pol.Wanted() && peer == PeerConnecting:
			st.State = ChildNegotiating
		case !pol.Wanted() && pol.Base() == child.IntentTraffic:
			st.State = ChildWaiting
		}
		if st.Reason = join(pol.Reason, whatNext(pol)); h != nil {
			st.Reason = h.until()
		}
		return st
	}
	st.State = ChildInstalled
	if p.Rekeying() {
		st.State = ChildRekeying
	}
	st.ID, st.Encap, st.Transport = p.SA.ID, p.SA.Path.Encapsulated(), p.SA.Hosts.Transport()
	if s := saOf(p); s != nil {
		st.EncapWhy = s.net.whyEncap()
	}
	st.SPIIn, st.SPIOut = p.SA.SPIIn, p.SA.SPIOut
	st.Proposal = suite.ESPProposalName(negotiated(p).proposal)
	st.LocalTS, st.RemoteTS = slices.Clone(p.SA.LocalTS), slices.Clone(p.SA.RemoteTS)
	if st.Narrow = pol.Narrow(); st.Narrow && st.Failure.Cause == "" {
		st.Failure = pol.Shortfall()
		st.Reason = st.Failure.Reason
	}
	st.RekeyAt, st.ExpiresAt = p.RekeyAt(), p.ExpiresAt()
	for _, l := range pol.Further() {
		if !l.IsPart() {
			st.Resources = append(st.Resources, resourceStatus(l))
		} else if part := l.Best(); part != nil && part != p {
			st.Parts = append(st.Parts, partStatus(part))
		}
	}
	return st
}

// partStatus describes the pair of a part.
func partStatus(p *child.Pair) PartStatus {
	st := PartStatus{State: ChildInstalled, ID: p.SA.ID, SPIIn: p.SA.SPIIn, SPIOut: p.SA.SPIOut, RekeyAt: p.RekeyAt()}
	if p.Rekeying() {
		st.State = ChildRekeying
	}
	st.LocalTS, st.RemoteTS = slices.Clone(p.SA.LocalTS), slices.Clone(p.SA.RemoteTS)
	return st
}

// resourceStatus describes a chain other than the main one.
func resourceStatus(l *child.Chain) ResourceStatus {
	st := ResourceStatus{Resource: l.Resource(), State: ChildNegotiating}
	p := l.Best()
	if p == nil {
		return st
	}
	st.State = ChildInstalled
	if p.Rekeying() {
		st.State = ChildRekeying
	}
	st.ID, st.SPIIn, st.SPIOut, st.RekeyAt = p.SA.ID, p.SA.SPIIn, p.SA.SPIOut, p.RekeyAt()
	return st
}
