package ike

import (
	"net/netip"

	"culvert/internal/ipsec"
)

// path is the pair of addresses of an IKE SA's messages.
type path struct {
	local, remote netip.AddrPort // if local's address is invalid, the system chooses
	natPort       bool           // from our NAT port, with the non-ESP marker
}

// network is an IKE SA's path and the result of NAT detection on it (RFC 7296, Section 2.23).
type network struct {
	path
	system  netip.Addr // our address at the time, if the system chose it
	nat     NATState
	natT    bool // both sides do NAT detection: UDP encapsulation is possible
	encap   bool // Child SAs are encapsulated in UDP
	follows bool // the peer announced that it follows us to another address
	unsaid  bool // the peer does not know our present address yet
	moves   moveLimit

	fragments fragmentPath
}

// pathOf returns the reverse path of a datagram.
func pathOf(d Datagram) path { return path{local: d.Local, remote: d.Remote, natPort: d.NATPort} }

// unmapped returns the address in the form used for comparison. A socket for both families reports
// IPv4 addresses as IPv6 ones.
func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// endpoint returns the outer addresses of the Child SAs' packets.
func (n network) endpoint(e *Engine) ipsec.Endpoint {
	if n.encap {
		return ipsec.Endpoint{Local: netip.AddrPortFrom(n.local.Addr(), e.cfg.NATPort), Remote: n.remote, Encap: true}
	}
	return ipsec.Endpoint{Local: netip.AddrPortFrom(n.local.Addr(), 0), Remote: netip.AddrPortFrom(n.remote.Addr(), 0)}
}

// transmit sends the datagrams of one message along a path.
func (e *Engine) transmit(p path, datagrams [][]byte) {
	for _, data := range datagrams {
		e.emit(Send{Local: p.local, Remote: p.remote, NATPort: p.natPort, Data: data})
	}
}

// follow adopts the source of a fresh authenticated message as the peer's address. "a host [...]
// that is not behind a NAT, SHOULD send all packets [...] to the IP address and port in the
// validated packet [...]. A host behind a NAT SHOULD NOT do this" (RFC 7296, Section 2.23). A peer
// that is not behind a NAT announces its moves, and so is followed only by whereItIs.
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

// movePairs gives the dataplane the new outer addresses of the Child SAs.
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

// peerMoved is the equivalent of follow for an authenticated ESP packet. Only encapsulated packets
// reveal a new NAT mapping.
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
