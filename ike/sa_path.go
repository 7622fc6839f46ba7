package ike

import (
	"net/netip"
	"time"

	"culvert/internal/ipsec"
)

// network is an IKE SA's path and the result of NAT detection on it (RFC 7296, Section 2.23). It
// follows the peer and this host to other addresses, and its Child SAs with it.
type network struct {
	sa *ikeSA
	ipsec.Path
	system  netip.Addr // our address at the time, if the system chose it
	nat     NATState
	encap   encapsulation
	turned  time.Time // when the port of the IKE SA last changed that
	able    abilities // of both sides
	follows bool      // the peer announced that it follows us to another address
	unsaid  bool      // the peer does not know our present address yet
	moves   moveLimit
	check   *pathCheck // nil before the first one
	lane    uint32     // 0: see ikeSA.lane
}

// encapsulation is whether the Child SAs of a path are encapsulated in UDP.
type encapsulation uint8

const (
	encapImpossible encapsulation = iota // one side does no NAT detection
	encapPossible                        // both do, and it is not needed
	encapUsed
)

// possible reports whether both sides do NAT detection.
func (e encapsulation) possible() bool { return e == encapPossible || e == encapUsed }

// use begins the encapsulation if it is possible.
func (e *encapsulation) use() {
	if e.possible() {
		*e = encapUsed
	}
}

// inherit takes over the path of the IKE SA that this one succeeds, and what is known about it.
func (n *network) inherit(old *network) {
	sa := n.sa
	*n = *old
	n.sa = sa
	if c := old.check; c != nil { // a question belongs to a request of that IKE SA
		n.check = &pathCheck{asks: c.asks}
	}
}

// firstPath returns the path of the first message to remote: from our IKE port, or for another
// transport than UDP from any. The port of a connection is not known before it is open, so the peer
// takes us to be behind a NAT, which makes no difference on a stream (RFC 9329, Section 6.5).
func (n *network) firstPath(remote netip.AddrPort) ipsec.Path {
	p := n.sa.party.profile
	local := n.sa.e.localAddr(p, remote.Addr())
	if via := p.cfg.Transport; via != nil {
		return ipsec.NewPath(via, netip.AddrPortFrom(local, 0), remote, 0)
	}
	return ipsec.UDPPath(netip.AddrPortFrom(local, n.sa.e.cfg.IKEPort), remote)
}

// float continues at the NAT ports.
func (n *network) float(p *profile) {
	n.Path = n.ToNATPort(n.sa.e.cfg.NATPort, p.cfg.RemoteNATPort)
}

// espPath returns the path of the Child SAs' packets.
func (n *network) espPath() ipsec.Path { return n.ESP(n.encap == encapUsed, n.sa.e.cfg.NATPort) }

// transmit sends the datagrams of one message along a path.
func (e *Engine) transmit(p ipsec.Path, datagrams [][]byte) {
	for _, data := range datagrams {
		e.emit(Send{Path: p, Data: data})
	}
}

// follow adopts the source of a fresh authenticated message as the peer's address. "a host [...]
// that is not behind a NAT, SHOULD send all packets [...] to the IP address and port in the
// validated packet [...]. A host behind a NAT SHOULD NOT do this" (RFC 7296, Section 2.23). A peer
// that is not behind a NAT announces its moves, and so is followed only by whereItIs. If both sides
// are behind NATs, see checkPath.
func (n *network) follow(d Datagram) {
	if !n.Local().Addr().IsValid() {
		n.Path = n.WithLocal(d.Path.Local().Addr())
	}
	n.heardFrom(d.Path)
}

// heardFrom follows the peer to the path of an authentic packet, if that is enough to follow it. A
// peer that opened another connection is always followed to it (RFC 9329, Section 6.1).
func (n *network) heardFrom(to ipsec.Path) {
	switch {
	case n.SameRemote(to) || !to.Stream() && !n.nat.Remote:
	case !to.Stream() && n.bothBehindNATs():
		n.checkPath(to)
	case n.mayMovePeer():
		n.movePeer(to)
	}
}

// movePairs gives the dataplane the new path of the Child SAs.
func (n *network) movePairs() {
	n.sa.probes.moved()
	to := n.espPath()
	for _, p := range n.sa.children.Pairs() {
		if p.SA.Path != to {
			p.SA.Path = to
			n.sa.e.emit(SetPath{ID: p.SA.ID, Path: to})
		}
	}
}

// peerMoved is the equivalent of follow for an authenticated ESP packet. Only encapsulated packets
// reveal a new NAT mapping.
func (e *Engine) peerMoved(in PeerMoved) {
	p := e.pairs.Carried(in.ID)
	if p == nil {
		return
	}
	s := saOf(p)
	if s.net.espPath().Encapsulated() {
		s.net.heardFrom(s.net.WithRemoteOf(in.Path))
	}
}

// localAddr returns our outer address towards remote: the peer's configured one, or the one that
// the system would use. It is not valid if neither is known.
func (e *Engine) localAddr(p *profile, remote netip.Addr) netip.Addr {
	if p.cfg.Local.IsValid() || e.cfg.LocalAddr == nil {
		return p.cfg.Local
	}
	return e.cfg.LocalAddr(remote)
}

// NATState tells which sides of an IKE SA are behind a NAT (RFC 7296, Section 2.23).
type NATState struct{ Local, Remote bool }
