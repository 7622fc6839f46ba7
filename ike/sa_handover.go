package ike

import (
	"culvert/ike/child"
	"errors"
	"fmt"
	"slices"
	"time"
)

// succession is what becomes of an IKE SA that is rekeyed, by us, by the peer, or by both.
type succession struct {
	successor *ikeSA         // has inherited the Child SAs
	theirs    *ikeSA         // the peer's successor, until our outstanding rekeying decides
	nonces    noncePair      // of the peer's exchange
	parent    *ikeSA         // of a peer's successor: its predecessor, until that is decided
	ours      *rekeyExchange // queued or under way

	silent bool // dying, because the peer did not answer the check after a hint

	replaces *ikeSA // was made to take the place of this one
	dying    string // why the IKE SA cannot be kept; empty: it can

	redundant bool // of a peer's successor: ours stays instead
	settling  bool // of one of two that were made at once: it is deleted as soon as the other one is known to work
}

// succeed establishes the IKE SA as the successor of old, with the given keys, on the same path and
// with the same peer.
func (s *ikeSA) succeed(old *ikeSA, keys saKeys) {
	e := s.e
	s.keys, s.party = keys, old.party
	s.net.inherit(&old.net)
	s.remoteID, s.remoteKey = old.remoteID, old.remoteKey
	s.keys.fragment = old.keys.fragment
	s.party.sas = append(s.party.sas, s)
	s.moveTo(saEstablished)
	s.life.established, s.life.since = e.handling.now, old.life.since
	s.live.Inherit(&old.live.Monitor)
	s.auth.inherit(&old.auth)
	s.scheduleRekey()
	s.live.schedule()
}

// becomeRedundant marks a successor that the peer should delete, because ours stays. A peer that
// received our Delete of the old IKE SA before our response to its own rekeying has forgotten that
// rekeying. So the successor is also removed here after a while, without a Delete.
func (s *ikeSA) becomeRedundant() {
	s.succ.parent = nil
	if s.state == saEstablished {
		s.succ.redundant = true
		s.moveTo(saRekeyed)
		s.e.timers.Stop(&s.live.timer)
		s.e.after(&s.life.rekey, lingerDead)
	}
}

// rekeyedLife is how long a rekeyed IKE SA waits for the peer's Delete.
const rekeyedLife = 90 * time.Second

// handOver moves the Child SAs and the queued exchanges to the successor. The current exchange ends
// on the old IKE SA.
func (s *ikeSA) handOver(successor *ikeSA) {
	successor.succ.parent, successor.succ.dying = nil, s.succ.dying
	s.succ.successor, s.succ.theirs = successor, nil
	s.moveTo(saRekeyed)
	s.children.HandOver(&successor.children)
	waiting := slices.DeleteFunc(s.work.TakeWaiting(), func(x exchange) bool { _, rekeys := x.(*rekeyExchange); return rekeys })
	successor.net.inherit(&s.net)
	s.e.sas.byAddr.enlist(successor)
	if s.net.fragments == fragmentsLost { // it is tested again
		successor.net.fragments = fragmentsUnknown
	}
	s.e.timers.Stop(&s.live.timer)
	s.e.timers.Stop(&s.life.hard)
	s.e.after(&s.life.rekey, rekeyedLife)
	s.e.answerRefs(&s.life.refs, nil)
	successor.notice(Info, "ike-rekeyed", fmt.Sprintf("IKE SA %v/%v replaces %v/%v", successor.spi.I, successor.spi.R, s.spi.I, s.spi.R))
	successor.work.Add(waiting...)
	if successor.net.unsaid {
		successor.net.announce()
	}
	successor.startNext()
}

// acceptPeers hands over to the peer's successor, and reports whether there was one.
func (s *ikeSA) acceptPeers() bool {
	theirs := s.succ.theirs
	if theirs == nil || theirs.state != saEstablished || s.state != saEstablished {
		return false
	}
	s.handOver(theirs)
	return true
}

// adoptIfUndecided handles the first use of the peer's successor while our own rekeying of its
// predecessor is outstanding: the peer would not use it if it were to be deleted.
func (s *ikeSA) adoptIfUndecided() {
	if s.succ.parent != nil && s.succ.parent.succ.theirs == s {
		s.succ.parent.acceptPeers()
	}
}

// cancelSuccession drops what is undecided when the IKE SA ends.
func (s *ikeSA) cancelSuccession() {
	if parent := s.succ.parent; parent != nil && parent.succ.theirs == s {
		parent.succ.theirs = nil
	}
	if theirs := s.succ.theirs; theirs != nil && theirs.state == saEstablished {
		theirs.succ.parent = nil
	}
	s.succ.parent, s.succ.theirs = nil, nil
	s.e.answerRefs(&s.life.refs, errors.New("the IKE SA ended"))
}

// scheduleRekey sets the IKE SA's lifetimes, as Child SAs have them.
func (s *ikeSA) scheduleRekey() {
	life := s.party.cfg.Lifetime
	if life <= 0 {
		return
	}
	soft := child.RekeyMargin(life, s.initiator, s.e.cfg.Rand)
	s.life.rekeyAt = s.e.handling.now.Add(soft)
	s.e.after(&s.life.rekey, soft)
	s.e.after(&s.life.hard, life+life/10)
}

// hardEnd is called at the end of a half-open IKE SA that was not authenticated, at the hard end of
// a lifetime, and when a dead IKE SA is to be forgotten.
func (s *ikeSA) hardEnd() {
	switch s.state {
	case saHalfOpen:
		s.e.count("ike_half_open_expired")
		s.remove()
	case saDead:
		s.remove()
	case saEstablished:
		s.closeAs(child.EndExpired, "its lifetime has expired")
	}
}
