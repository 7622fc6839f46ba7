package ike

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"culvert/ike/identity"
	"culvert/ike/proposal"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// peerTable indexes the configured peers, and lists those to reconcile before Handle returns. The
// cost of changing one peer does not depend on the number of others.
//
// Peers are not identified by their address: a peer may have moved, or be behind a NAT, before its
// name tells. So a request from any address is answered with any peer's proposals, those of the
// peers with that address first (init_choice.go). IKE_AUTH tells who the peer is.
type peerTable struct {
	byName    map[string]*profile
	order     []*profile // in the order of the configuration, including removed ones
	lastPlace uint64
	dirty     []*party
	byAddr    map[netip.Addr][]*profile
	byID      map[identity.ID][]*profile // by canonical remote identity, without patterns
	scanned   []*profile                 // those with a pattern
	anywhere  []*profile                 // those without a remote address
	terms     [2]termsTable              // of IKE_SA_INIT: of the peers without a remote address, and of the others
	offers    [2]initOffers              // IKE proposals: of the peers without a remote address, and of the others
	announces [2]announcements           // of credentials, likewise
	announced [2]announcement            // these, merged
	proposals []wire.Proposal            // the distinct IKE proposals of all peers; first those of peers without a remote address
}

func newPeerTable() peerTable {
	return peerTable{byName: map[string]*profile{}, byAddr: map[netip.Addr][]*profile{}, byID: map[identity.ID][]*profile{}, terms: [2]termsTable{{}, {}}, announces: [2]announcements{{}, {}}}
}

// add appends a peer.
func (t *peerTable) add(p *profile) {
	t.lastPlace++
	p.place = t.lastPlace
	t.order = append(t.order, p)
	t.byName[p.cfg.Name] = p
	t.list(p)
}

// replace puts a peer in the place of another one with the same name.
func (t *peerTable) replace(old, p *profile) {
	t.unlist(old)
	old.removed = true
	p.place = old.place
	t.order[t.index(p.place)] = p
	t.byName[p.cfg.Name] = p
	t.list(p)
}

// remove removes a peer.
func (t *peerTable) remove(p *profile) {
	t.unlist(p)
	delete(t.byName, p.cfg.Name)
	p.removed = true
	if len(t.order) > 2*len(t.byName)+maxRemoved {
		t.order = slices.DeleteFunc(t.order, func(p *profile) bool { return p.removed })
	}
}

// maxRemoved is how many removed peers may stay in a short order, so that it is not compacted at
// every removal.
const maxRemoved = 16

// index returns the position in order of the first peer at or behind a place.
func (t *peerTable) index(place uint64) int {
	at, _ := slices.BinarySearchFunc(t.order, place, func(p *profile, place uint64) int { return cmp.Compare(p.place, place) })
	return at
}

// from returns the peers from a place on, in the order of the configuration.
func (t *peerTable) from(place uint64) iter.Seq[*profile] {
	return func(yield func(*profile) bool) {
		for _, p := range t.order[t.index(place):] {
			if !p.removed && !yield(p) {
				return
			}
		}
	}
}

func (t *peerTable) all() iter.Seq[*profile] { return t.from(0) }

// list adds a peer, which has its place, to the indexes.
func (t *peerTable) list(p *profile) {
	for _, a := range p.cfg.Remote {
		t.byAddr[a] = enlist(t.byAddr[a], p)
	}
	if len(p.cfg.Remote) == 0 {
		t.anywhere = enlist(t.anywhere, p)
	}
	if p.scanned() {
		t.scanned = enlist(t.scanned, p)
	} else {
		id := p.cfg.RemoteID.Canonical()
		t.byID[id] = enlist(t.byID[id], p)
	}
	t.count(p, 1)
}

// unlist removes a peer from the indexes. Its keys must not have changed since list.
func (t *peerTable) unlist(p *profile) {
	for _, a := range p.cfg.Remote {
		delist(t.byAddr, a, p)
	}
	if len(p.cfg.Remote) == 0 {
		t.anywhere = without(t.anywhere, p)
	}
	if p.scanned() {
		t.scanned = without(t.scanned, p)
	} else {
		delist(t.byID, p.cfg.RemoteID.Canonical(), p)
	}
	t.count(p, -1)
}

func (p *profile) scanned() bool { return p.cfg.RemoteID.IsPattern() }

func comparePlaces(a, b *profile) int { return cmp.Compare(a.place, b.place) }

// enlist inserts a peer in the order of the configuration, once.
func enlist(list []*profile, p *profile) []*profile {
	at, found := slices.BinarySearchFunc(list, p, comparePlaces)
	if found {
		return list
	}
	return slices.Insert(list, at, p)
}

func without(list []*profile, p *profile) []*profile {
	at, found := slices.BinarySearchFunc(list, p, comparePlaces)
	if !found {
		return list
	}
	return slices.Delete(list, at, at+1)
}

func delist[K comparable](m map[K][]*profile, key K, p *profile) {
	if m[key] = without(m[key], p); len(m[key]) == 0 {
		delete(m, key)
	}
}

// count adds a peer (n = 1) or removes it (n = -1).
func (t *peerTable) count(p *profile, n int) {
	kind := 1
	if len(p.cfg.Remote) == 0 {
		kind = 0
	}
	t.terms[kind].count(p, n)
	if t.announces[kind].count(p, n) {
		t.announced[kind] = announcementOf(t.announces[kind].merged())
	}
	if !t.offers[kind].count(p.cfg.Proposals, n) {
		return
	}
	t.proposals = nil
	for _, offers := range t.offers {
		for _, o := range offers {
			t.proposals = append(t.proposals, o.proposals...)
		}
	}
	t.proposals = proposal.Distinct(t.proposals)
}

// at returns the peers that have the remote address and accept calls at the local one.
func (t *peerTable) at(from ipsec.Path) []*profile {
	var list []*profile
	for _, p := range t.byAddr[from.Remote().Addr()] {
		if p.callableAt(from.Local().Addr()) {
			list = append(list, p)
		}
	}
	return list
}

// configured reports whether some peer has the remote address.
func (t *peerTable) configured(remote netip.Addr) bool { return len(t.byAddr[remote]) > 0 }

func (p *profile) callableAt(local netip.Addr) bool {
	return !p.cfg.Local.IsValid() || p.cfg.Local == local
}

// likeliest returns the peer whose settings IKE_SA_INIT is answered with, before the caller is
// known.
func (t *peerTable) likeliest(known []*profile) *profile {
	if len(known) > 0 {
		return known[0]
	}
	if len(t.anywhere) > 0 {
		return t.anywhere[0]
	}
	return t.order[slices.IndexFunc(t.order, func(p *profile) bool { return !p.removed })]
}

// called returns the peers that an identity may be, at a local address.
func (t *peerTable) called(id identity.ID, local netip.Addr) []*profile {
	var list []*profile
	for _, p := range slices.Concat(t.byID[id.Canonical()], t.scanned) {
		if id.Matches(p.cfg.RemoteID) && p.callableAt(local) {
			list = append(list, p)
		}
	}
	return list
}
