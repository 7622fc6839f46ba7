package ike

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/wire"
)

// Roaming: this host sends from another address than before, because the old one is gone or
// because the route to the peer prefers another. The IKE SA stays. We send from the new address at
// once, IKE and ESP, and tell the peer by the next request of the window, in which NAT detection
// is done again (RFC 7296, Section 2.23; between the same two hosts as before, so with the same
// keys):
//
//	HDR, SK {N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)}  -->                       from the new address
//	                                                                       <--  HDR, SK {N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)}
//
// A request that was under way is sent again from the new address, and answered; so the peer knows
// after two round trips at most. Found behind a NAT, we float to the NAT port and tell it from
// there.
//
// Who follows such a request? RFC 7296 asks it only of a host that sees the other one behind a
// NAT. Other peers of ours say by a Vendor ID payload in IKE_AUTH that they do. Where neither
// holds, or the peer does not answer, there is a new IKE SA from the new address.

// followsVendorID says that its sender follows an authenticated request whose
// NAT_DETECTION_SOURCE_IP payload matches where it came from: "Writers of documents who wish to
// extend this protocol MUST define a Vendor ID payload to announce the ability to implement the
// extension" (RFC 7296, Section 3.12).
var followsVendorID = []byte("culvert: address update 1")

// saysItFollows reports whether the payloads of IKE_AUTH hold followsVendorID.
func saysItFollows(ps []wire.Payload) bool {
	return slices.ContainsFunc(ps, func(p wire.Payload) bool {
		v, ok := p.(*wire.VendorID)
		return ok && bytes.Equal(v.Data, followsVendorID)
	})
}

// moveRetry is the back-off of what is sent from a new address, where a new IKE SA can be made
// instead: 7.5 s.
var moveRetry = RetransmitPlan{First: 500 * time.Millisecond, Factor: 2, Tries: 3}

// sweep is the look at every IKE SA after an address or route of this host changed.
type sweep struct {
	running bool
	next    uint64 // place of the next peer
	again   bool   // something changed meanwhile
	stray   bool   // an IKE SA has no address to send from
	pause   time.Duration
	retry   timer
}

const (
	// maxLooks bounds the peers that one Handle looks at: each costs a question to the system.
	maxLooks = 128
	// Pauses between looks for an address to send from. It may be there without a word to us:
	// routes come after addresses, and new IPv6 addresses are not used at once.
	strayFirst, strayMax = 200 * time.Millisecond, 5 * time.Second
)

// addressesChanged begins to look at every IKE SA.
func (e *Engine) addressesChanged() {
	e.sweep.pause = 0
	e.beginSweep()
}

func (e *Engine) beginSweep() {
	w := &e.sweep
	e.timers.stop(&w.retry)
	if w.running {
		w.again = true
		return
	}
	w.running, w.next, w.stray = true, 0, false
	e.sweepOn()
}

// sweepOn looks at the next peers, and at the end begins once more if it must.
func (e *Engine) sweepOn() {
	w := &e.sweep
	if !w.running || e.stopping {
		w.running = false
		return
	}
	looks := 0
	for p := range e.peers.from(w.next) {
		if looks++; looks > maxLooks {
			w.next = p.place
			return
		}
		p.roam()
	}
	w.running = false
	switch {
	case w.again:
		w.again = false
		w.running, w.next, w.stray = true, 0, false
	case w.stray:
		e.lookForAddress()
	}
}

// lookForAddress sets the time of the next look, for an IKE SA that has no address to send from.
func (e *Engine) lookForAddress() {
	w := &e.sweep
	w.stray = true
	if w.running || w.retry.pos > 0 {
		return
	}
	w.pause = min(max(2*w.pause, strayFirst), strayMax)
	e.after(&w.retry, w.pause)
}

// roam looks whether the peer is sent to from the right address.
func (p *peer) roam() {
	for _, s := range slices.Clone(p.sas) {
		s.roam()
	}
	if p.main() == nil && len(p.cfg.Remote) > 0 && p.e.cfg.LocalAddr != nil && p.e.localAddr(p, p.cfg.Remote[p.try.addr%len(p.cfg.Remote)]).IsValid() {
		p.hasten()
	}
}

// sourceGone is a packet of the dataplane's that could not be sent from where it was to be.
func (e *Engine) sourceGone(in SourceGone) {
	if p := e.pairs[in.ID]; p != nil && p.owner != nil {
		p.owner.roam()
	}
}

// roam sends from another address if it must, or should, and reports whether it did.
func (s *ikeSA) roam() bool {
	was := s.net.local.Addr()
	if s.peer == nil || s.peer.cfg.Local.IsValid() || s.e.cfg.LocalAddr == nil || s.state == saEmbryo || s.state.ended() {
		return false
	}
	// One that was begun without an address said a wrong one to NAT detection, and would be taken
	// to be behind a NAT.
	gone := !was.IsValid() || !s.e.hasAddr(was)
	now := s.e.cfg.LocalAddr(s.net.remote.Addr())
	if now == was || !gone && (s.net.system != was || s.state.authenticated() && !s.isFollowed()) {
		return false // what the peer may not follow is done only if it must
	}
	if !s.mayLeaveFor(now) {
		if gone && s.state.authenticated() {
			s.e.lookForAddress()
		}
		return false
	}
	s.leaveFor(now)
	return true
}

// hasAddr reports whether an address is this host's, as far as the engine is told.
func (e *Engine) hasAddr(a netip.Addr) bool {
	if e.cfg.HasAddr == nil {
		return true
	}
	has, known := e.handling.has[a]
	if known {
		return has
	}
	if e.handling.has == nil {
		e.handling.has = map[netip.Addr]bool{}
	}
	has = e.cfg.HasAddr(a)
	e.handling.has[a] = has
	return has
}

// mayLeaveFor refuses sources that the system names for want of a better one: of a narrower scope
// than the peer's address, or of the protected networks, whose packets do not go outside.
func (s *ikeSA) mayLeaveFor(now netip.Addr) bool {
	remote, was := s.net.remote.Addr(), s.net.local.Addr()
	if !now.IsValid() || now.IsLoopback() != remote.IsLoopback() || now.IsLinkLocalUnicast() != remote.IsLinkLocalUnicast() || !s.e.hasAddr(now) {
		return false
	}
	return s.peer.protects(was) || !s.peer.protects(now)
}

// protects reports whether an address is in a local network of one of the peer's children.
func (p *peer) protects(a netip.Addr) bool {
	for _, pol := range p.policies {
		for _, sel := range pol.cfg.Local {
			if sel.Start.Is4() == a.Is4() && sel.Start.Compare(a) <= 0 && a.Compare(sel.End) <= 0 {
				return true
			}
		}
	}
	return false
}

// isFollowed reports whether the peer is to be expected to send to where our authenticated
// requests come from: because it says so, or because it sees us behind a NAT.
func (s *ikeSA) isFollowed() bool {
	return s.net.follows || s.net.natT && (s.net.nat.Local || s.peer.cfg.Encap == EncapAlways)
}

// canReconnect reports whether a new IKE SA can take this one's place.
func (s *ikeSA) canReconnect() bool { return len(s.peer.cfg.Remote) > 0 }

// leaveFor sends from another address from now on, and tells the peer.
func (s *ikeSA) leaveFor(now netip.Addr) {
	s.e.count("ike_address_changed")
	if was := s.net.local.Addr(); was.IsValid() {
		s.notice(Info, "address-changed", fmt.Sprintf("our address towards the peer was %s and is %s", was, now))
	}
	if s.connecting() { // begun from another address, and soon begun again
		s.abandonWork("our address changed")
		s.remove()
		return
	}
	if s.usable() && !s.isFollowed() && s.canReconnect() {
		s.end(endMoved, "our address changed, and the peer does not follow")
		return
	}
	s.net.local, s.net.system = netip.AddrPortFrom(now, s.net.local.Port()), now
	s.movePairs()
	if r := s.win.Outstanding(); r != nil {
		r.Repeated = 0
		s.sendRequest()
	}
	if s.usable() {
		s.announce()
	}
}

// announce tells the peer where we are, before anything else.
func (s *ikeSA) announce() {
	s.net.unsaid = true
	if x, ok := s.work.current.(*informational); ok && x.kind == askMove && s.win.Outstanding() != nil {
		return // the answer finds that it is out of date
	}
	if slices.ContainsFunc(s.work.queue, func(x exchange) bool { i, ok := x.(*informational); return ok && i.kind == askMove }) {
		return
	}
	s.work.queue = slices.Insert(s.work.queue, 0, exchange(&informational{kind: askMove}))
	s.startNext()
}

// announced is the peer's answer to where we said that we are.
func (x *informational) announced(s *ikeSA, ps []wire.Payload) {
	if s.state != saEstablished {
		return // the successor tells it again
	}
	nat, supported := detectNAT(ps, s.spi.I, s.spi.R, s.net.local, s.net.remote)
	switch {
	case x.local != s.net.local:
		s.announce()
		return
	case !supported && s.net.follows && s.canReconnect():
		s.end(endMoved, "our address changed, and the peer refuses to follow")
		return
	}
	s.net.unsaid = false
	if !s.net.follows {
		s.live.told = s.e.handling.now
	}
	if supported {
		s.net.nat = nat
	}
	s.nextCheck() // keepalives may be ours to send by now
	if !supported {
		return
	}
	switch behind := nat.Local || nat.Remote; {
	case behind && s.net.natT && s.net.natPort:
		s.net.encap = true
		s.movePairs()
	case behind && s.net.natT:
		s.float(s.peer)
		s.net.encap = true
		s.movePairs()
		s.announce()
	}
}

// A peer that need not follow us answers all the same. What shows that it did is its traffic: some
// must come within proofTime of its answer, if ours goes on and some came in the time before the
// move.
const (
	proofTime   = 2 * time.Second
	proofBefore = 10 * time.Second
)

// deserted reports, once after a move, that the peer's traffic has ended with it. The dataplane
// has just told of traffic.
func (s *ikeSA) deserted(now time.Time) bool {
	told := s.live.told
	if told.IsZero() || now.Sub(told) < proofTime {
		return false
	}
	s.live.told = time.Time{}
	ended := false
	for _, p := range s.pairs {
		if p.traffic.in.After(told) {
			return false
		}
		ended = ended || p.traffic.out.Sub(told) > proofTime/2 && told.Sub(p.traffic.in) < proofBefore
	}
	return ended && s.canReconnect()
}

// whereItIs takes the peer's word where it is now, and returns the answer; nil: it is not
// followed. The word is the peer's own if its source hash is of the address that the request came
// from, and so moves us whatever NAT there is. Otherwise the peer has come behind a NAT, or
// somebody sends its request from elsewhere: then it is as with any other authenticated message.
func (s *ikeSA) whereItIs(ps []wire.Payload) []wire.Payload {
	from, _ := s.win.Last()
	nat, ok := detectNAT(ps, s.spi.I, s.spi.R, from.local, from.remote)
	if !ok || s.state == saRekeyed {
		return nil
	}
	if nat.Remote && (!s.net.natT || s.net.nat.Local) {
		s.e.count("ike_move_refused")
		return nil
	}
	if s.net.unsaid { // it does not know yet where we are
		from.local = netip.AddrPortFrom(s.net.local.Addr(), from.local.Port())
	}
	if from != s.net.path {
		if !s.mayMovePeer() {
			return nil
		}
		s.notice(Info, "peer-moved", fmt.Sprintf("the peer was at %s and is at %s", s.net.remote, from.remote))
	}
	s.net.nat = nat
	if (nat.Local || nat.Remote) && s.net.natT && from.natPort {
		s.net.encap = true
	}
	s.movePeer(from)
	s.nextCheck()
	return s.natNotifies(s.peer)
}

// Moves of one IKE SA's peer: so many at once, and then one more in each interval. Each costs as
// much as a rekeying's end for every Child SA.
const (
	maxMoves     = 8
	moveInterval = time.Second
)

// moveLimit counts moves: the time until which those that were made are spread out.
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

// mayMovePeer reports whether the peer may be followed once more.
func (s *ikeSA) mayMovePeer() bool {
	if !s.net.moves.allow(s.e.handling.now) {
		s.e.count("ike_moves_limited")
		return false
	}
	s.e.count("ike_peer_moved")
	return true
}

// movePeer makes a path the IKE SA's and its Child SAs'.
func (s *ikeSA) movePeer(to path) {
	s.net.path = to
	s.movePairs()
	s.e.touch(s.peer)
}
