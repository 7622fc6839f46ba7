package ike

import (
	"net/netip"

	"culvert/esp"
)

// path is where an IKE SA's messages go and come from.
type path struct {
	local, remote netip.AddrPort // local's address may be invalid: the system chooses
	natPort       bool           // by our NAT port, with the non-ESP marker
}

// network is an IKE SA's path and what NAT detection found on it (RFC 7296, Section 2.23).
type network struct {
	path
	system  netip.Addr // our address where the system chose it, as it was then
	nat     NATState
	natT    bool // both sides do NAT detection: what is found behind a NAT may be encapsulated
	encap   bool // Child SAs are encapsulated in UDP
	follows bool // the peer says that it follows us to another address
	unsaid  bool // and has not yet been told of the one that we have
	moves   moveLimit

	fragments fragmentPath
}

// pathOf is the way back of a datagram.
func pathOf(d Datagram) path { return path{local: d.Local, remote: d.Remote, natPort: d.NATPort} }

// unmapped is the address in the one form that is compared: a socket for both families gives IPv4 addresses as IPv6 ones.
func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// endpoint is the way of the Child SAs' packets.
func (n network) endpoint(e *Engine) esp.Endpoint {
	if n.encap {
		return esp.Endpoint{Local: netip.AddrPortFrom(n.local.Addr(), e.cfg.NATPort), Remote: n.remote, Encap: true}
	}
	return esp.Endpoint{Local: netip.AddrPortFrom(n.local.Addr(), 0), Remote: netip.AddrPortFrom(n.remote.Addr(), 0)}
}

// transmit sends the datagrams of one message along a path.
func (e *Engine) transmit(p path, datagrams [][]byte) {
	for _, data := range datagrams {
		e.emit(Send{Local: p.local, Remote: p.remote, NATPort: p.natPort, Data: data})
	}
}

// follow takes note of where a fresh authenticated message came from. "a host [...] that is not behind a NAT, SHOULD send all packets [...] to
// the IP address and port in the validated packet [...]. A host behind a NAT SHOULD NOT do this" (RFC 7296, Section 2.23). A peer that is not
// behind a NAT does not move without a word, and so is not followed without one either (whereItIs).
func (s *ikeSA) follow(d Datagram) {
	if !s.net.local.Addr().IsValid() {
		s.net.local = d.Local
	}
	if d.Remote == s.net.remote || s.net.nat.Local || !s.net.nat.Remote {
		return
	}
	if s.mayMovePeer() {
		s.movePeer(pathOf(d))
	}
}

// movePairs tells the dataplane where the Child SAs' packets go from now on.
func (s *ikeSA) movePairs() {
	s.hurry()
	s.net.fragments, s.live.rtt = fragmentsUnknown, 0
	ep := s.net.endpoint(s.e)
	for _, p := range s.pairs {
		if p.sa.Endpoint != ep {
			p.sa.Endpoint = ep
			s.e.emit(SetEndpoint{ID: p.sa.ID, Endpoint: ep})
		}
	}
}

// peerMoved is the same for an authenticated ESP packet. Only encapsulated packets tell of a NAT's new mapping.
func (e *Engine) peerMoved(in PeerMoved) {
	p := e.pairs[in.ID]
	if p == nil || p.owner == nil {
		return
	}
	s := p.owner
	in.Remote = unmapped(in.Remote)
	if !s.net.encap || in.Remote == s.net.remote || s.net.nat.Local || !s.net.nat.Remote {
		return
	}
	to := s.net.path
	to.remote = in.Remote
	if s.mayMovePeer() {
		s.movePeer(to)
	}
}
