package ike

import (
	"time"

	"culvert/internal/ipsec"
)

// A host behind a NAT must not follow the other side on one packet alone, since anybody who can
// send packets of the IKE SA again could so divert it (RFC 7296, Section 2.23). But if both sides
// are behind NATs, as with a port forwarded to us, and the other side's NAT forgets its mapping,
// only the new source of its packets tells where it is. So the new address is asked:
//
//	from the new address: ESP, or any IKE message  -->
//	                                               <--  HDR, SK {}  to the new address
//	from the new address: HDR, SK {}               -->
//
// and followed when the answer comes from there. It is the return routability check of RFC 4555,
// Section 3.6, without its notifies, so that every peer answers it.

// A pathCheck is a question to a new address of the peer.
type pathCheck struct {
	to    ipsec.Path
	id    uint32    // of the request that was sent there
	asked bool      // one was
	until time.Time // when it is given up
	asks  moveLimit
	port  portReason // the address is the peer's present one, at its other port (sa_encap.go)
}

const (
	// checkTime is how long the answer may take.
	checkTime = 5 * time.Second
	// checkTries is how many times our own question is sent to the new address alone. Then it goes
	// the usual way as well, as any request.
	checkTries = 2
)

// checking reports whether a question is open. One at the other port ends when the path changes.
func (n *network) checking() bool {
	c := n.check
	return c != nil && c.to.IsValid() && n.sa.e.handling.now.Before(c.until) && (c.port == portNone || c.to == n.otherPort())
}

// checkPath asks the peer at a new address whether it is there, by the outstanding request or by a
// new one. One address is asked at a time. An IKE SA that is being deleted has the deletion to ask
// by, and nothing else.
func (n *network) checkPath(to ipsec.Path) {
	r := n.sa.win.Outstanding()
	if n.checking() || !n.sa.state.authenticated() || n.sa.state != saEstablished && r == nil {
		return
	}
	if !n.ask(to, portNone) {
		return
	}
	switch {
	case r != nil:
		n.check.id, n.check.asked = r.ID, true
		n.sa.e.transmit(to, r.Datagrams)
	case !n.sa.work.Busy():
		n.sa.enqueue(&informational{kind: askAlive})
	}
}

// ask opens a question, and reports whether it may be asked.
func (n *network) ask(to ipsec.Path, port portReason) bool {
	if n.check == nil {
		n.check = &pathCheck{}
	}
	c, now := n.check, n.sa.e.handling.now
	if !c.asks.allow(now) {
		n.sa.e.count("ike_moves_limited")
		return false
	}
	n.sa.e.count("ike_path_checked")
	c.to, c.asked, c.until, c.port = to, false, now.Add(checkTime), port
	if port != portNone {
		c.until = now.Add(otherPortTime)
	}
	return true
}

// requestPaths returns where the outstanding request is sent: to the peer, and to the address that
// is asked.
func (n *network) requestPaths() []ipsec.Path {
	r := n.sa.win.Outstanding()
	if n.checking() {
		n.check.id, n.check.asked = r.ID, true
	}
	return n.pathsOf(r.Repeated)
}

// pathsOf returns where a repetition of the outstanding request is sent. A new question goes to the
// address that is asked alone at first.
func (n *network) pathsOf(repeated int) []ipsec.Path {
	c := n.check
	if !n.checking() {
		return []ipsec.Path{n.Path}
	}
	x, ok := n.sa.work.Current().(*informational)
	switch {
	case ok && x.kind == askAlive && c.port == portNone && repeated < checkTries:
		return []ipsec.Path{c.to}
	case ok && x.kind == askPort && repeated < otherPortInCheck:
		if c.port == portSilent {
			return []ipsec.Path{n.Path}
		}
		return []ipsec.Path{c.to}
	}
	return []ipsec.Path{n.Path, c.to}
}

// checkAnswered handles an authentic response that came on a path. If it answers the question from
// where that was sent to, the peer is followed there.
func (n *network) checkAnswered(id uint32, from ipsec.Path) {
	c := n.check
	if !n.checking() || !c.asked || id != c.id {
		return
	}
	asked, to := *c, c.to
	c.to = ipsec.Path{}
	if asked.port != portNone {
		n.otherPortAnswered(&asked, from)
		return
	}
	if to.SameRemote(from) && n.mayMovePeer() {
		n.movePeer(n.WithRemoteOf(to))
	}
}

// bothBehindNATs reports whether the peer's address is followed only when it was asked.
func (n *network) bothBehindNATs() bool { return n.nat.Local && n.nat.Remote }
