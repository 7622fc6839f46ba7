package ike

import (
	"slices"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// candidates returns the configured peers that the initiator may be, the likeliest first. In the
// order of weight: the initiator asks for the peer's local identity; the remote identity is exact,
// or else a pattern other than that of all identities; the peer is configured at this address, or
// else at none. Ties keep the order of the configuration. A candidate must allow the proposal that
// was chosen in IKE_SA_INIT, before the identity was known.
func (a *authAttempt) candidates() []*profile {
	var list []*profile
	for _, p := range a.sa.e.peers.called(a.id, a.sa.net.Local().Addr()) {
		if _, ok := proposal.Choose(p.cfg.Proposals, []wire.Proposal{a.sa.keys.proposal}); ok {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(p, q *profile) int { return a.likelihood(q) - a.likelihood(p) })
	return list[:min(len(list), MaxCandidates)]
}

// likelihood returns the rank of a peer among the candidates; the highest is the likeliest.
func (a *authAttempt) likelihood(p *profile) int {
	rank := 0
	if idr, ok := wire.FindID(a.ps, true); ok && idr.IDType == p.cfg.LocalID.Type && string(idr.Data) == p.cfg.LocalID.Data {
		rank += 16
	}
	switch {
	case !p.cfg.RemoteID.IsPattern():
		rank += 8
	case p.cfg.RemoteID != identity.Any:
		rank += 4
	}
	switch {
	case slices.Contains(p.cfg.Remote, a.sa.net.Remote().Addr()):
		rank += 2
	case len(p.cfg.Remote) == 0:
		rank++
	}
	return rank
}

// maxRedundant is the number of IKE SAs that one identity may have begun with us, and separately of
// those that it rekeyed and has not deleted. A correct peer has at most two, during
// reauthentication.
const maxRedundant = 16

// notTooMany ends the oldest IKE SA that the identity of s began, if there are more than
// maxRedundant.
func (p *party) notTooMany(s *ikeSA) {
	var oldest *ikeSA
	count := 0
	for _, o := range p.sas {
		if !s.sameIdentity(o) || o.initiator || !o.usable() {
			continue
		}
		if oldest == nil {
			oldest = o
		}
		count++
	}
	if count > maxRedundant {
		p.e.count("ike_too_many_twins")
		oldest.closeAs(child.EndReplaced, "the peer has too many IKE SAs")
	}
}

// superseded returns the number of IKE SAs of the identity of s that wait for their deletion.
func (p *party) superseded(s *ikeSA) (count int) {
	for _, o := range p.sas {
		if s.sameIdentity(o) && (o.state == saRekeyed || o.state == saClosing) {
			count++
		}
	}
	return count
}
