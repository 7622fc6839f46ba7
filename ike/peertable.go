package ike

import (
	"net/netip"
	"slices"
	"strings"

	"culvert/ike/wire"
)

// peerTable is the configured peers, by what they are looked up by, and those to be looked at before Handle returns.
//
// An address is where we look for a peer, not what we know it by: it may have moved, or be behind a NAT, before its name says so. So a request from anywhere is
// answered with any peer's proposals, those of the peers with that address first; who it is, IKE_AUTH tells.
type peerTable struct {
	byName    map[string]*peer
	order     []*peer // as the configuration has them
	dirty     []*peer
	byAddr    map[netip.Addr][]*peer
	byID      map[Identity][]*peer // by remote identity, where that is one that can be compared as it is
	scanned   []*peer              // the others: patterns and distinguished names
	anywhere  *peer                // the first that may call from any address
	proposals []wire.Proposal      // all IKE proposals of all peers, once each; first of those without an address
}

// index fills in everything that follows from order.
func (t *peerTable) index() {
	t.byAddr, t.byID, t.scanned, t.anywhere = map[netip.Addr][]*peer{}, map[Identity][]*peer{}, nil, nil
	var anywhere, others []wire.Proposal
	for _, p := range t.order {
		for _, a := range p.cfg.Remote {
			t.byAddr[a] = append(t.byAddr[a], p)
		}
		if len(p.cfg.Remote) == 0 {
			anywhere = distinct(append(anywhere, p.cfg.Proposals...))
			if t.anywhere == nil {
				t.anywhere = p
			}
		} else {
			others = distinct(append(others, p.cfg.Proposals...))
		}
		if id := p.cfg.RemoteID; id.IsPattern() || id.Type == wire.IDDERDN {
			t.scanned = append(t.scanned, p)
		} else {
			t.byID[id.folded()] = append(t.byID[id.folded()], p)
		}
	}
	t.proposals = distinct(append(anywhere, others...))
}

// folded is the same for all identities that Matches takes for one, save DNs. It may be the same for others too.
func (id Identity) folded() Identity {
	if id.Type == wire.IDFQDN || id.Type == wire.IDRFC822 {
		id.Data = lowerASCII(strings.TrimSuffix(id.Data, "."))
	}
	return id
}

// at is the peers that have the remote address, and may be called at the local one.
func (t *peerTable) at(from path) []*peer {
	var list []*peer
	for _, p := range t.byAddr[from.remote.Addr()] {
		if p.callableAt(from.local.Addr()) {
			list = append(list, p)
		}
	}
	return list
}

func (p *peer) callableAt(local netip.Addr) bool {
	return !p.cfg.Local.IsValid() || p.cfg.Local == local
}

// likeliest is the peer whose settings IKE_SA_INIT is answered with, before it is known who calls.
func (t *peerTable) likeliest(known []*peer) *peer {
	if len(known) > 0 {
		return known[0]
	}
	if t.anywhere != nil {
		return t.anywhere
	}
	return t.order[0]
}

// called is the peers that an identity may be, at a local address.
func (t *peerTable) called(id Identity, local netip.Addr) []*peer {
	var list []*peer
	for _, p := range slices.Concat(t.byID[id.folded()], t.scanned) {
		if id.Matches(p.cfg.RemoteID) && p.callableAt(local) {
			list = append(list, p)
		}
	}
	return list
}

// suspects is who to leave word with when a call from an address comes to nothing.
func (t *peerTable) suspects(from path) []*peer {
	if known := t.at(from); len(known) > 0 || len(t.order) != 1 {
		return known
	}
	return t.order
}
