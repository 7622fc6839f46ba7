package ike

import (
	"errors"
	"fmt"
	"slices"

	"culvert/ike/child"
)

// succession is what becomes of an IKE SA that is rekeyed, by us, by the peer, or by both.
type succession struct {
	sa        *ikeSA
	successor *ikeSA         // has inherited the Child SAs
	theirs    *ikeSA         // the peer's successor, until our outstanding rekeying decides
	nonces    noncePair      // of the peer's exchange
	parent    *ikeSA         // of a peer's successor: its predecessor, until that is decided
	ours      *rekeyExchange // queued or under way

	replaces *ikeSA        // was made to take the place of this one
	own      *child.Policy // was made for this one alone, beside others; nil: for all
	outlook  outlook
	why      string // it cannot be kept
	fate     fate
	settling *settlement // in which this one is to go; nil: none
}

// outlook tells whether an IKE SA can be kept.
type outlook uint8

const (
	outlookGood   outlook = iota // it can be kept
	outlookSilent                // the peer did not answer the check after a hint: only if it answers
	outlookDying                 // it cannot: a new IKE SA takes its place
)

// fate is what is decided about one of several IKE SAs with the same peer.
type fate uint8

const (
	fateOpen      fate = iota
	fateSettled        // it goes: we delete it as soon as the other one is known to work
	fateBeside         // it stays beside the other one, on which the peer refuses its Child SAs
	fateRedundant      // of a peer's successor: ours stays instead, and the peer deletes it
)

// succeed establishes the IKE SA as the successor of old, with the given keys, on the same path and
// with the same peer.
func (c *succession) succeed(old *ikeSA, keys saKeys) {
	s, e := c.sa, c.sa.e
	s.keys, s.party = keys, old.party
	s.net.inherit(&old.net)
	s.remoteID, s.remoteKey = old.remoteID, old.remoteKey
	s.keys.fragment = old.keys.fragment
	s.party.sas = append(s.party.sas, s)
	s.moveTo(saEstablished)
	s.life.established, s.life.line, s.life.since = e.handling.now, old.life.line, old.life.since
	s.live.Inherit(&old.live.Monitor)
	s.auth.inherit(&old.auth)
	s.life.schedule()
	s.live.schedule()
}

// becomeRedundant marks a successor that the peer should delete, because ours stays. A peer that
// received our Delete of the old IKE SA before our response to its own rekeying has forgotten that
// rekeying. So the successor is also removed here after a while, without a Delete.
func (c *succession) becomeRedundant() {
	c.parent = nil
	if c.sa.state == saEstablished {
		c.fate = fateRedundant
		c.sa.moveTo(saRekeyed)
		c.sa.e.timers.Stop(&c.sa.live.timer)
		c.sa.e.after(&c.sa.life.rekey, lingerDead)
	}
}

// handOver moves the Child SAs and the queued exchanges to the successor. The current exchange ends
// on the old IKE SA.
func (c *succession) handOver(successor *ikeSA) {
	successor.succ.parent, successor.succ.outlook, successor.succ.why = nil, c.outlook, c.why
	successor.succ.replaces = c.inPlaceOf()
	if c.fate == fateBeside {
		successor.succ.fate = fateBeside
	}
	c.successor, c.theirs = successor, nil
	c.sa.moveTo(saRekeyed)
	c.sa.children.HandOver(&successor.children)
	waiting := slices.DeleteFunc(c.sa.work.TakeWaiting(), func(x exchange) bool { _, rekeys := x.(*rekeyExchange); return rekeys })
	successor.net.inherit(&c.sa.net)
	c.sa.e.sas.byAddr.enlist(successor)
	if c.sa.probes.fragments != fragmentsLost { // otherwise it is tested again
		successor.probes.fragments = c.sa.probes.fragments
	}
	c.sa.e.timers.Stop(&c.sa.live.timer)
	c.sa.e.timers.Stop(&c.sa.life.hard)
	c.sa.e.after(&c.sa.life.rekey, rekeyedLife)
	c.sa.e.answerRefs(&c.sa.life.refs, nil)
	successor.notice(Info, "ike-rekeyed", fmt.Sprintf("IKE SA %v/%v replaces %v/%v", successor.spi.I, successor.spi.R, c.sa.spi.I, c.sa.spi.R))
	successor.work.Add(waiting...)
	if successor.net.unsaid {
		successor.net.announce()
	}
	successor.startNext()
}

// acceptPeers hands over to the peer's successor, and reports whether there was one.
func (c *succession) acceptPeers() bool {
	theirs := c.theirs
	if theirs == nil || theirs.state != saEstablished || c.sa.state != saEstablished {
		return false
	}
	c.handOver(theirs)
	return true
}

// adoptIfUndecided handles the first use of the peer's successor while our own rekeying of its
// predecessor is outstanding: the peer would not use it if it were to be deleted.
func (c *succession) adoptIfUndecided() {
	if c.parent != nil && c.parent.succ.theirs == c.sa {
		c.parent.succ.acceptPeers()
	}
}

// cancel drops what is undecided when the IKE SA ends.
func (c *succession) cancel() {
	if parent := c.parent; parent != nil && parent.succ.theirs == c.sa {
		parent.succ.theirs = nil
	}
	if theirs := c.theirs; theirs != nil && theirs.state == saEstablished {
		theirs.succ.parent = nil
	}
	c.parent, c.theirs = nil, nil
	c.sa.e.answerRefs(&c.sa.life.refs, errors.New("the IKE SA ended"))
}
