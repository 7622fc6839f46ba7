package ike

import (
	"slices"

	"culvert/ike/identity"
	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// candidates returns the configured peers that an initiator with the identity may be, the likeliest
// first: one whose local identity it asks for before others, an exact remote identity before a
// pattern, one that is looked for at this address before one that may call from anywhere, and that
// before one that is looked for elsewhere; then by the order of the configuration. A candidate must
// be allowed the proposal that was chosen before anybody knew who was calling.
func (s *ikeSA) candidates(ps []wire.Payload, id identity.ID) []*peer {
	var list []*peer
	for _, p := range s.e.peers.called(id, s.net.local.Addr()) {
		if _, ok := proposal.Choose(p.cfg.Proposals, []wire.Proposal{s.keys.proposal}); ok {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b *peer) int { return s.likelihood(b, ps) - s.likelihood(a, ps) })
	return list[:min(len(list), maxCandidates)]
}

// likelihood ranks the peers that an initiator may be.
func (s *ikeSA) likelihood(p *peer, ps []wire.Payload) int {
	rank := 0
	if idr, ok := wire.FindID(ps, true); ok && idr.IDType == p.cfg.LocalID.Type && string(idr.Data) == p.cfg.LocalID.Data {
		rank += 8
	}
	if !p.cfg.RemoteID.IsPattern() {
		rank += 4
	}
	switch {
	case slices.Contains(p.cfg.Remote, s.net.remote.Addr()):
		rank += 2
	case len(p.cfg.Remote) == 0:
		rank++
	}
	return rank
}

// onlyOne ends every older IKE SA with the same authenticated identity, because the peer says that
// it has no other: it may "delete any other IKE SAs it has to the same authenticated identity
// without waiting for a timeout" (RFC 7296, Section 2.4). An IKE SA that we made while this one was
// on its way is not what the peer speaks of: both sides started at once, and settleDuplicates
// decides. One that the peer made is: it has given up a try that came to IKE_AUTH.
func (s *ikeSA) onlyOne() {
	for _, o := range slices.Clone(s.peer.sas) {
		if o == s || o.remoteID != s.remoteID || !o.state.authenticated() {
			continue
		}
		if !o.initiator || o.life.established.Before(s.life.born) {
			o.end(endRestarted, "the peer started anew")
		}
	}
}

// maxRedundant bounds the IKE SAs that one identity makes with us, and those that it rekeyed and
// has not deleted. An honest peer has two at most, while it authenticates anew.
const maxRedundant = 16

// notTooMany ends the oldest IKE SA of the identity when it has made too many.
func (s *ikeSA) notTooMany() {
	var oldest *ikeSA
	count := 0
	for _, o := range s.peer.sas {
		if o.remoteID != s.remoteID || o.initiator || !o.usable() {
			continue
		}
		if oldest == nil {
			oldest = o
		}
		count++
	}
	if count > maxRedundant {
		s.e.count("ike_too_many_twins")
		oldest.closeAs(endReplaced, "the peer has made too many others")
	}
}

// superseded counts the IKE SAs of the identity that wait for their deletion.
func (s *ikeSA) superseded() (count int) {
	for _, o := range s.peer.sas {
		if o.remoteID == s.remoteID && (o.state == saRekeyed || o.state == saClosing) {
			count++
		}
	}
	return count
}
