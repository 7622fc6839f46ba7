package ike

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/reason"
	"culvert/ike/wire"
	"culvert/selector"
)

// A peer may have many parties: everybody whose identity its pattern matches and who has its secret
// (Peer.Parties). A party begins to exist when it has authenticated, and is forgotten with its last
// IKE SA. It has IKE SAs, policies and failures of its own. Its policies protect what it agreed to,
// which no other party has. The profile's own party, which exists from the start, stands for those
// that are absent: its policies protect all configured networks, and never have an SA.

// members holds the parties that are connected by one profile.
type members struct {
	byID    map[identity.ID]*party // by canonical identity
	list    []*party               // oldest first
	last    uint64                 // number of the newest
	claims  claims
	refused uint64 // identities that were refused because there were too many
}

// partyOf returns the party of an authenticated identity. A new one is a member only from the
// moment that it has an IKE SA.
func (p *profile) partyOf(id identity.ID) *party {
	if !p.cfg.Parties {
		return p.party
	}
	key := id.Canonical()
	if q := p.members.byID[key]; q != nil {
		return q
	}
	p.members.last++
	q := p.newParty(partyName(id))
	q.key, q.number = key, p.members.last
	if p.members.byID == nil {
		p.members.byID = map[identity.ID]*party{}
	}
	p.members.byID[key] = q
	p.members.list = append(p.members.list, q)
	return q
}

// isFull reports whether one more party, of an authenticated identity, would be too many. It counts
// the refusal.
func (p *profile) isFull(id identity.ID) bool {
	if !p.cfg.Parties || p.members.byID[id.Canonical()] != nil || p.present() < p.cfg.MaxParties {
		return false
	}
	p.members.refused++
	p.party.notice(Warn, "party-refused", "", fmt.Sprintf("%s is refused: %d parties are connected, as many as max_parties allows", id, p.present()))
	return true
}

// present returns the number of parties that are connected. Others stay only while they are held
// down.
func (p *profile) present() int {
	n := len(p.members.list)
	if len(p.e.holds) == 0 {
		return n
	}
	for _, q := range p.members.list {
		if len(q.sas) == 0 && q.heldAlone() {
			n--
		}
	}
	return n
}

// partyName returns the name of the party with an identity.
func partyName(id identity.ID) string {
	key := id.Canonical()
	return identity.Printable(key.String())
}

// isOne reports whether the party is one of many. Such a party calls us, never we it.
func (p *party) isOne() bool { return p != p.profile.party }

// comeAndGo forgets a party of many that has no IKE SA left, and reports whether it did.
func (p *party) comeAndGo() (gone bool) {
	if !p.isOne() || len(p.sas) > 0 || p.forgotten || p.heldAlone() {
		return p.forgotten
	}
	p.forgotten = true
	p.memory.stop()
	p.waiters.check()
	p.waiters.abandon(errors.New("the party is no longer connected"))
	p.endPolicies()
	delete(p.members.byID, p.key)
	p.members.list = slices.DeleteFunc(p.members.list, func(q *party) bool { return q == p })
	return true
}

// endPolicies takes the party's policies out of the SPD.
func (p *party) endPolicies() {
	for _, pol := range p.policies {
		pol.Close()
		p.e.policies.remove(p.e, pol)
	}
	p.members.claims.set(p, nil)
	p.agreed = nil
}

// maxClaims bounds the disjoint ranges of addresses of one party, and the selectors of one of its
// policies.
const maxClaims = 1024

// networks are selectors of a party's Child SAs.
type networks struct{ local, remote []selector.Selector }

// admit has the SPD protect what a party of many agreed to for one of its policies. It refuses
// networks of which another party has a part: nobody may take another's traffic.
func (s *ikeSA) admit(pol *child.Policy, local, remote []selector.Selector) error {
	p := s.party
	if !p.isOne() {
		return nil
	}
	had := p.agreed[pol]
	if e := p.e.policies.byID[pol.ID]; e != nil && selector.Subset(local, had.local) && selector.Subset(remote, had.remote) {
		return nil
	}
	now := networks{selector.Normalize(slices.Concat(had.local, local)), selector.Normalize(slices.Concat(had.remote, remote))}
	var all []selector.Selector
	for other, n := range p.agreed {
		if other != pol {
			all = append(all, n.remote...)
		}
	}
	ranges := rangesOf(append(all, now.remote...))
	if max(len(ranges), len(now.local), len(now.remote)) > maxClaims {
		p.e.count("ike_ts_unacceptable")
		return refuse(wire.TSUnacceptable, "the party asks for too many networks")
	}
	if other := p.members.claims.conflict(p, ranges); other != nil {
		p.e.count("ike_ts_unacceptable")
		why := fmt.Sprintf("%s asks for networks of which %s has a part", p.name, other.name)
		pol.RefusedCall(reason.Facts{
			Cause: reason.Networks, Why: why, Ours: reason.Offer{Remote: other.remotes()}, Theirs: reason.Offer{Local: local, Remote: remote},
		}.Trouble())
		return refuse(wire.TSUnacceptable, why)
	}
	p.members.claims.set(p, ranges)
	if p.agreed == nil {
		p.agreed = map[*child.Policy]networks{}
	}
	p.agreed[pol] = now
	p.e.policies.add(p.e, pol)
	return nil
}

// remotes returns the networks behind the party.
func (p *party) remotes() (list []selector.Selector) {
	for _, n := range p.agreed {
		list = append(list, n.remote...)
	}
	return list
}

// startable reports whether we may ask for a Child SA of the policy: a party of many is asked only
// for what it had agreed to.
func (p *party) startable(pol *child.Policy) bool {
	return !p.isOne() || p.e.policies.byID[pol.ID] != nil && p.main() != nil
}

// parties returns the parties from a mark on: of each profile its connected ones, by age, or if
// there are none the one that exists from the start.
func (t *peerTable) parties(from Mark) iter.Seq[*party] {
	return func(yield func(*party) bool) {
		for p := range t.from(from.Place) {
			number := uint64(0)
			if p.place == from.Place {
				number = from.Party
			}
			if len(p.members.list) == 0 {
				if !yield(p.party) {
					return
				}
				continue
			}
			at, _ := slices.BinarySearchFunc(p.members.list, number, func(q *party, n uint64) int { return int(q.number) - int(n) })
			for _, q := range slices.Clone(p.members.list[at:]) {
				if !yield(q) {
					return
				}
			}
		}
	}
}

// A Mark is a place in a list of parties. The zero Mark is the beginning.
type Mark struct{ Place, Party uint64 }

func (p *party) mark() Mark { return Mark{p.place, p.number} }

// named returns the party that a command names: a peer, or a party of it as peer#party. Of a peer
// with many parties, one that is connected alone need not be named.
func (e *Engine) named(name string) (*party, error) {
	if p := e.peers.byName[name]; p != nil {
		switch len(p.members.list) {
		case 0:
			return p.party, nil
		case 1:
			return p.members.list[0], nil
		}
		return nil, fmt.Errorf("peer %s has %d parties: name one of them, such as %s", identity.Quote(name), len(p.members.list), identity.Quote(name+"#"+p.members.list[0].name))
	}
	peer, one := splitAddress(name)
	p := e.peers.byName[peer]
	if p == nil {
		return nil, fmt.Errorf("there is no peer %s", identity.Quote(peer))
	}
	for _, q := range p.members.list {
		if q.name == one {
			return q, nil
		}
	}
	return nil, fmt.Errorf("peer %s has no party %s that is connected", identity.Quote(peer), identity.Quote(one))
}

// splitAddress returns the peer and the party of a name peer#party.
func splitAddress(name string) (peer, party string) {
	peer, party, _ = strings.Cut(name, "#")
	return peer, party
}
