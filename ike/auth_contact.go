package ike

import (
	"slices"

	"culvert/ike/child"
	"culvert/ike/identity"
)

// INITIAL_CONTACT says that an IKE SA is the only one between two authenticated identities (RFC
// 7296, Section 2.4). Several configured peers may have the same two: two addresses of one gateway,
// or two uplinks to it. So it is said with an eye to all of them. It is heard by the peer that was
// called alone, since some implementations say it for each connection. The IKE SAs of the other
// peers with these identities must show at once that they live.

// hasSibling reports whether there is, or may soon be, another IKE SA between the two identities.
// Then INITIAL_CONTACT must not be said. An attempt counts as well: by another way its IKE_AUTH may
// reach the peer before ours.
func (s *ikeSA) hasSibling() bool {
	id := s.party.cfg.RemoteID
	for p := range s.e.peers.sharing(s.party.profile, id) {
		for _, o := range p.sas {
			if o != s && (o.state.authenticated() && o.remoteID.Matches(id) || p.profile != s.party.profile && o.connecting()) {
				return true
			}
		}
	}
	return false
}

// initialContact handles INITIAL_CONTACT of an initiator: every older IKE SA of the same peer with
// the same authenticated identity ends. The receiver may "delete any other IKE SAs it has to the
// same authenticated identity without waiting for a timeout" (RFC 7296, Section 2.4). It spares
// those that the peer began after this one, which may have overtaken it, and those of ours that
// were established since: both sides started at once, and settleDuplicates decides.
func (s *ikeSA) initialContact() {
	for _, o := range slices.Clone(s.party.sas) {
		if o == s || !s.sameIdentity(o) || !o.state.authenticated() {
			continue
		}
		if o.initiator && o.life.established.Before(s.life.born) || !o.initiator && !o.life.born.After(s.life.born) {
			o.end(child.EndRestarted, "the peer restarted")
		}
	}
	for p := range s.e.peers.sharing(s.party.profile, s.remoteID) {
		if p.profile == s.party.profile {
			continue
		}
		for _, o := range p.sas {
			if o.remoteKey == s.remoteKey {
				o.live.hint(hintedCheck)
			}
		}
	}
}

// sharing yields the parties of the configured peers, the given one included, that we meet by the
// same local identity, and that may have the remote identity or pattern.
func (t *peerTable) sharing(p *profile, remote identity.ID) func(yield func(*party) bool) {
	key, pattern := remote.Canonical(), remote.IsPattern() || remote.Data == ""
	lists := [][]*profile{t.byID[key], t.scanned} // as they are: each may have all entries
	if pattern {
		lists = [][]*profile{t.order}
	}
	return func(yield func(*party) bool) {
		for _, list := range lists {
			for _, q := range list {
				if !q.removed && q.local == p.local && !q.having(key, pattern, yield) {
					return
				}
			}
		}
	}
}

// having yields the parties of the profile that may have an identity, or match a pattern. It
// reports false if yield did.
func (q *profile) having(key identity.ID, pattern bool, yield func(*party) bool) bool {
	if !q.cfg.Parties {
		return yield(q.party)
	}
	if !pattern {
		one := q.members.byID[key]
		return one == nil || yield(one)
	}
	for _, one := range q.members.list {
		if !yield(one) {
			return false
		}
	}
	return true
}
