package ike

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// Roaming: this host sends from another address than before, because the old one is gone or because
// the route to the peer prefers another. The IKE SA stays. IKE and ESP are sent from the new
// address at once, and the next request of the window tells the peer. In it NAT detection is
// repeated (RFC 7296, Section 2.23; the hosts are the same, so the keys stay):
//
//	from the new address
//	HDR, SK {N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)}  -->
//	             <--  HDR, SK {N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)}
//
// An outstanding request is first repeated from the new address and answered, so the peer knows
// after at most two round trips. If we find ourselves behind a NAT, we float to the NAT port and
// announce that. If an address, ours or the peer's, changes before the answer has come, we announce
// again, since the hashes are of the old one. Both sides take what an exchange shows, that there is
// a NAT or that there is none, as NAT traversal is enabled or disabled by RFC 4555, Section 3.5: so
// they send ESP alike.
//
// RFC 7296 asks a host to follow such a request only if it sees the other one behind a NAT. Other
// culvert peers announce by a Vendor ID payload in IKE_AUTH that they always follow. If neither
// holds, or the peer does not answer, a new IKE SA is made from the new address.

// followsVendorID announces that its sender follows an authenticated request whose
// NAT_DETECTION_SOURCE_IP payload matches its source address: "Writers of documents who wish to
// extend this protocol MUST define a Vendor ID payload to announce the ability to implement the
// extension" (RFC 7296, Section 3.12).
var followsVendorID = []byte("culvert: address update 1")

// saysItFollows reports whether the payloads of IKE_AUTH contain followsVendorID.
func saysItFollows(ps []wire.Payload) bool {
	return slices.ContainsFunc(ps, func(p wire.Payload) bool {
		v, ok := p.(*wire.VendorID)
		return ok && bytes.Equal(v.Data, followsVendorID)
	})
}

// moveRetry is the back-off from a new address if a new IKE SA can be made instead: 7.5 s.
var moveRetry = window.RetransmitPlan{First: 500 * time.Millisecond, Factor: 2, Tries: 3}

// roam changes to another source address if it must, or should, and reports whether it did. On a
// connection that the peer opened, the peer opens another (RFC 9329, Section 6.1).
func (n *network) roam() bool {
	was := n.Local().Addr()
	if n.sa.party == nil || n.Conn() != 0 || n.sa.party.cfg.Local.IsValid() || n.sa.e.cfg.LocalAddr == nil || n.sa.state == saEmbryo || n.sa.state.ended() {
		return false
	}
	// NAT detection of an attempt that started without an address hashed a wrong one, and would
	// find us behind a NAT.
	gone := !was.IsValid() || !n.sa.e.hasAddr(was)
	now := n.sa.e.cfg.LocalAddr(n.Remote().Addr())
	if now == was || !gone && (n.system != was || n.sa.state.authenticated() && !n.isFollowed()) {
		return false // what the peer may not follow is done only if necessary
	}
	if !n.mayLeaveFor(now) {
		if gone && n.sa.state.authenticated() {
			n.sa.e.lookForAddress()
		}
		return false
	}
	n.leaveFor(now)
	return true
}

// mayLeaveFor reports whether a source address is suitable. It refuses those that the system
// returns for lack of a better one: of another scope than the peer's address, or in a protected
// network, whose packets must not leave in the clear.
func (n *network) mayLeaveFor(now netip.Addr) bool {
	remote, was := n.Remote().Addr(), n.Local().Addr()
	if !now.IsValid() || now.IsLoopback() != remote.IsLoopback() || now.IsLinkLocalUnicast() != remote.IsLinkLocalUnicast() || !n.sa.e.hasAddr(now) {
		return false
	}
	return n.sa.party.protects(was) || !n.sa.party.protects(now)
}

// protects reports whether an address is in a local network of one of the peer's children.
func (p *party) protects(a netip.Addr) bool {
	for _, pol := range p.policies {
		for _, sel := range pol.Settings.Local {
			if sel.Start.Is4() == a.Is4() && sel.Start.Compare(a) <= 0 && a.Compare(sel.End) <= 0 {
				return true
			}
		}
	}
	return false
}

// isFollowed reports whether the peer is expected to send to the source of our authenticated
// requests: it announced so, or it sees us behind a NAT.
func (n *network) isFollowed() bool {
	return n.follows || n.encap.possible() && (n.nat.Local || n.sa.party.cfg.Encap == EncapAlways)
}

// moving reports whether a new address of ours waits for the confirmation of a peer to which we can
// reconnect.
func (n *network) moving() bool {
	return n.unsaid && n.sa.state == saEstablished && n.sa.party.canConnect()
}

// leaveFor changes to another source address, and tells the peer.
func (n *network) leaveFor(now netip.Addr) {
	n.sa.e.count("ike_address_changed")
	if was := n.Local().Addr(); was.IsValid() {
		n.sa.notice(Info, "address-changed", fmt.Sprintf("our address towards the peer was %s and is %s", was, now))
	}
	if n.sa.connecting() { // begun from another address: starts again
		n.sa.party.try.missed = 0
		n.sa.abandonWork("our address changed")
		n.sa.remove()
		return
	}
	if n.sa.usable() && !n.isFollowed() && n.sa.party.canConnect() {
		n.sa.end(child.EndMoved, "our address changed, and the peer does not follow it")
		return
	}
	n.Path, n.system = n.WithLocal(now), now
	n.movePairs()
	if r := n.sa.win.Outstanding(); r != nil {
		r.Repeated = 0
		n.sa.sendRequest()
	}
	if n.sa.usable() {
		n.announce()
	}
}

// announce tells the peer our address, before anything else.
func (n *network) announce() {
	n.unsaid = true
	if x, ok := n.sa.work.Current().(*informational); ok && x.kind == askMove && n.sa.win.Outstanding() != nil {
		return // its response will find that it is out of date
	}
	if n.sa.work.Awaits(func(x exchange) bool { i, ok := x.(*informational); return ok && i.kind == askMove }) {
		return
	}
	n.sa.work.AddUrgent(&informational{kind: askMove})
	n.sa.startNext()
}

// announced handles the peer's response to our announcement.
func (x *informational) announced(s *ikeSA, ps []wire.Payload) {
	if s.state != saEstablished {
		return // the successor repeats it
	}
	nat, supported := detectNAT(ps, s.spi.I, s.spi.R, s.net.Path)
	switch {
	case x.path != s.net.Path:
		s.net.announce()
		return
	case !supported && s.net.follows && s.party.canConnect():
		s.end(child.EndMoved, "our address changed, and the peer refuses to follow it")
		return
	}
	s.net.unsaid = false
	if !s.net.follows {
		s.live.Told(s.e.handling.now)
	}
	if !supported {
		s.live.schedule() // keepalives may be needed by now
		return
	}
	was, esp := s.net.Path, s.net.espPath()
	if nat != (NATState{}) && s.net.encap.possible() {
		s.net.float(s.party.profile)
	}
	s.net.found(nat)
	if s.net.espPath() != esp {
		s.net.movePairs()
	}
	if s.live.schedule(); s.net.Path != was {
		s.net.announce()
	}
	if s.net.tryESP(); carriageOf(s.net.Path) != faster && !s.party.memory.fails(&s.net, faster) {
		s.net.askOtherPort(portAgain)
	}
}

// whereItIs handles the peer's announcement of its address. It returns the payloads of the
// response, or nil if the peer is not followed. If the source hash matches the source of the
// request, the announcement is the peer's own, and is followed whatever NAT there is. Otherwise the
// peer is now behind a NAT, or somebody relays its request; then the rules for any authenticated
// message apply.
func (n *network) whereItIs(ps []wire.Payload) []wire.Payload {
	from, _ := n.sa.win.Last()
	nat, ok := detectNAT(ps, n.sa.spi.I, n.sa.spi.R, from)
	if !ok || n.sa.state == saRekeyed {
		return nil
	}
	if nat.Remote && (!n.encap.possible() || n.nat.Local) {
		n.sa.e.count("ike_move_refused")
		return nil
	}
	if n.unsaid { // it does not know our address yet
		from = from.WithLocal(n.Local().Addr())
	}
	if from != n.Path {
		if !n.mayMovePeer() {
			return nil
		}
		n.sa.notice(Info, "peer-moved", fmt.Sprintf("the peer was at %s and is at %s", n.Remote(), from.Remote()))
	}
	n.Path = from
	if n.found(nat); n.tied() && carriageOf(from) == overUDP {
		n.sa.party.memory.portAnswers(n) // it was the peer who found that out
	}
	n.movePeer(from)
	n.sa.live.schedule()
	return natNotifies(n.sa.spi, n.Path, n.sa.party.cfg.Encap)
}

// Limits of the moves of one IKE SA's peer: maxMoves at once, then one per moveInterval. Each costs
// as much as the end of a rekeying for every Child SA.
const (
	maxMoves     = 8
	moveInterval = time.Second
)

// moveLimit limits moves; until is the time over which past moves are spread.
type moveLimit struct{ until time.Time }

func (m *moveLimit) allow(now time.Time) bool {
	from := m.until
	if from.Before(now) {
		from = now
	}
	if from.Sub(now) > (maxMoves-1)*moveInterval {
		return false
	}
	m.until = from.Add(moveInterval)
	return true
}

// mayMovePeer reports whether the peer may be followed once more, and counts it.
func (n *network) mayMovePeer() bool {
	if !n.moves.allow(n.sa.e.handling.now) {
		n.sa.e.count("ike_moves_limited")
		return false
	}
	n.sa.e.count("ike_peer_moved")
	return true
}

// movePeer sets the path of the IKE SA and its Child SAs. A peer that has moved on a successor that
// is still undecided has moved on its predecessor, which carries the Child SAs until then.
func (n *network) movePeer(to ipsec.Path) {
	if parent := n.sa.succ.parent; parent != nil {
		old, at := &parent.net, to
		if old.unsaid {
			at = to.WithLocal(old.Local().Addr())
		}
		old.nat, old.encap = n.nat, n.encap
		old.movePeer(at)
	}
	n.Path = to
	n.sa.e.sas.byAddr.enlist(n.sa)
	n.movePairs()
	n.sa.e.touch(n.sa.party)
}

// roam checks whether the peer is sent to from the right address.
func (p *party) roam() {
	home := false
	for _, s := range slices.Clone(p.sas) {
		switch {
		case s.net.roam() || s.state.ended():
		case s.net.homeless():
			p.obstructed(s, ipsec.Unreachable{Why: ipsec.ObstacleSource})
		case p.homeless() && p.obstacle.local == s.net.Local().Addr():
			home = true
			s.askAtOnce()
		}
	}
	if home {
		p.obstacle.last = time.Time{}
	}
	if p.main() == nil && len(p.cfg.Remote) > 0 && p.e.cfg.LocalAddr != nil && p.e.localAddr(p.profile, p.cfg.Remote[p.try.addr%len(p.cfg.Remote)]).IsValid() {
		p.hasten()
	}
}
