package ike

import (
	"errors"
	"fmt"
	"net/netip"

	"culvert/ike/child"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// Transport mode (RFC 7296, Sections 1.3.1 and 2.23.1). Its selectors have one address on each
// side, that of the IKE SA. Behind a NAT each side has another view of them, and puts its own in
// place of the peer's:
//
//	client IP1, behind a NAT IPN1                       server IP2, behind a NAT IPN2
//
//	SA, TSi(IP1), TSr(IPN2), N(USE_TRANSPORT_MODE)  -->  takes it for TSi(IPN1), TSr(IP2)
//	takes it for TSi(IP1), TSr(IPN2)  <--  SA, TSi(IPN1), TSr(IP2), N(USE_TRANSPORT_MODE)
//
// What it got is kept for the checksums of TCP and UDP (ipsec.Hosts). If the responder declines,
// the Child SA is in tunnel mode, and the initiator deletes it if that is not acceptable.

// asksForTransport reports whether a message asks for transport mode, or agrees to it.
func asksForTransport(ps []wire.Payload) bool {
	_, ok := wire.FindNotify(ps, wire.UseTransportMode)
	return ok
}

// modeOf returns the mode of a pair.
func modeOf(p *child.Pair) child.Mode {
	if p.SA.Hosts.Transport() {
		return child.Transport
	}
	return child.Tunnel
}

// ownView returns the peer's selectors with the addresses as this host sees them, and the hosts of
// a pair in transport mode. ok is false if the selectors have more than one address on a side, or
// our address is not known.
func (n *network) ownView(local, remote []selector.Selector) (h ipsec.Hosts, l, r []selector.Selector, ok bool) {
	var ok2 bool
	h.SeenLocal, ok = selector.Host(local)
	h.SeenRemote, ok2 = selector.Host(remote)
	if !ok || !ok2 {
		return ipsec.Hosts{}, nil, nil, false
	}
	h.Local, h.Remote = h.SeenLocal, h.SeenRemote
	if n.nat.Local {
		h.Local = n.Local().Addr()
	}
	if n.nat.Remote {
		h.Remote = n.Remote().Addr()
	}
	return h, selector.At(local, h.Local), selector.At(remote, h.Remote), h.Local.IsValid()
}

// Errors of the initiator. A peer in another mode than ours would drop all packets.
var (
	errTransport = errors.New("it is in transport mode, which was not asked for")
	errTunnel    = errors.New("it is in tunnel mode, as the peer declines transport mode; set up transport mode at the peer, or mode = \"tunnel\" on both sides")
)

// transport reports whether the offer asks for transport mode. A rekeying keeps the mode.
func (o *childOffer) transport() bool {
	if o.old != nil {
		return modeOf(o.old) == child.Transport
	}
	return o.policy.Settings.Mode == child.Transport
}

// checkHosts refuses to ask for transport mode between other hosts than those of the IKE SA.
func (o *childOffer) checkHosts(s *ikeSA) error {
	if !o.transport() {
		return nil
	}
	local, ok := selector.Host(o.local)
	remote, ok2 := selector.Host(o.remote)
	if !ok || !ok2 {
		return &hostsError{"transport mode needs one address on each side; correct local and remote of the child"}
	}
	return s.net.joins(local, remote)
}

// joins returns an error unless the path is between two hosts. The system may have chosen a local
// address that is not known.
func (n *network) joins(local, remote netip.Addr) error {
	ours, theirs := n.Local().Addr(), n.Remote().Addr()
	if remote == theirs && (local == ours || !ours.IsValid()) {
		return nil
	}
	return &hostsError{fmt.Sprintf("transport mode protects %v with %v, and the IKE SA is between %v and %v; correct local and remote of the child, or local and remote of the peer", local, remote, ours, theirs)}
}

// A hostsError is why transport mode cannot be asked for.
type hostsError struct{ text string }

func (h *hostsError) Error() string { return h.text }

// checkMode compares the mode of a response with the offer's.
func (o *childOffer) checkMode(ps []wire.Payload) error {
	switch agreed := asksForTransport(ps); {
	case agreed && !o.transport():
		return errTransport
	case !agreed && o.transport():
		return errTunnel
	}
	return nil
}

// hosts returns the hosts of transport mode, and the selectors of a response as this host sees
// them.
func (o *childOffer) hosts(s *ikeSA, local, remote []selector.Selector) (ipsec.Hosts, []selector.Selector, []selector.Selector) {
	if !o.transport() {
		return ipsec.Hosts{}, local, remote
	}
	h, l, r, ok := s.net.ownView(local, remote)
	if !ok { // which no offer of ours covers
		return ipsec.Hosts{}, local, remote
	}
	return h, l, r
}

// pickTransport agrees to transport mode, if the peer asks for it and an entry says so; ok is false
// otherwise: "If the responder declines the request, the Child SA will be established in tunnel
// mode" (RFC 7296, Section 1.3.1).
func (a *childAnswer) pickTransport(s *ikeSA, q childRequest) (ok bool, err error) {
	if !a.transport {
		return false, nil
	}
	h, local, remote, one := s.net.ownView(q.local, q.remote)
	if !one || s.net.joins(h.Local, h.Remote) != nil {
		return false, nil
	}
	q.local, q.remote, q.mode = local, remote, child.Transport
	if a.old == nil && !s.party.has(&q) || a.old != nil && modeOf(a.old) != child.Transport {
		return false, nil
	}
	err = a.pickMode(s, q)
	a.hosts = h
	return true, err
}

// has reports whether a policy of the request's mode overlaps with it.
func (p *party) has(q *childRequest) bool {
	list, ok := p.rankPolicies(q)
	return ok && len(list) > 0
}

// tellMode gives notice of a new pair for which the peer asked for transport mode, and did not get
// it.
func (a *childAnswer) tellMode(p *child.Pair) {
	if a.transport && a.old == nil && !a.hosts.Transport() {
		p.Report("transport-declined", "the peer asked for transport mode, which no child of these addresses has: the Child SA is in tunnel mode; set up tunnel mode at the peer, or a child with mode = \"transport\" here")
	}
}
