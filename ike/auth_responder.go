package ike

import (
	"errors"
	"fmt"
	"slices"

	"culvert/ike/identity"
	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// authRequest is the responder's side of IKE_AUTH.
func (s *ikeSA) authRequest(ps []wire.Payload) ([]wire.Payload, error) {
	p, id, err := s.identify(ps)
	if err != nil {
		s.e.count("ike_authentication_failed")
		s.notice(Warn, "auth-failed", fmt.Sprintf("%s: %s", s.net.remote, err))
		return nil, fatal(wire.AuthenticationFailed, err.Error())
	}
	idr := p.cfg.LocalID.Payload(true)
	answer := []wire.Payload{idr, &wire.Auth{Method: wire.AuthSharedKey, Data: s.ourAuth(p.cfg.PSK, idr)}}
	if p.cfg.Encap == EncapNever {
		s.net.encap, s.net.natT = false, false
	}
	s.net.follows = saysItFollows(ps)
	s.established(p, id)
	s.delayOwnChildren()
	made, child, err := s.answerChild(ps, childTerms{nonces: s.keys.nonces, later: asksForFragments(ps), info: s.infoWanted(ps)})
	var refusal *notifyError
	if errors.As(err, &refusal) {
		child = []wire.Payload{refusal.notify}
	}
	answer = append(answer, child...)
	s.answer(append(answer, &wire.VendorID{Data: followsVendorID}))
	if made != nil {
		s.inUse(made)
		made.cameUp()
	}
	if _, ok := wire.FindNotify(ps, wire.InitialContact); ok {
		s.onlyOne()
	}
	s.notTooMany()
	return nil, errPending
}

// identify finds the configured peer that the initiator says it is, and verifies that it is. It must also be one that may use the proposal that was
// chosen before anybody knew who was calling.
func (s *ikeSA) identify(ps []wire.Payload) (*peer, identity.ID, error) {
	idi, _ := wire.FindID(ps, false)
	auth, _ := wire.Find[*wire.Auth](ps)
	id, err := identity.FromPayload(idi)
	if err != nil {
		return nil, id, err
	}
	p := s.choosePeer(ps, id)
	if p == nil {
		err := fmt.Errorf("no configured peer is called %s", id)
		for _, p := range s.e.peers.suspects(s.net.path) {
			p.refusedCall(fmt.Sprintf("%s called as %s, and remote_id is %s", s.net.remote, id, p.cfg.RemoteID), append(p.explainIdentities(), "theirs: "+id.String()))
		}
		return nil, id, err
	}
	psk, err := p.pskOf()
	if err != nil {
		p.refusedCall(err.Error(), nil)
		return nil, id, err
	}
	if auth.Method != wire.AuthSharedKey {
		err := fmt.Errorf("%s authenticates with %v, not with a pre-shared key", id, auth.Method)
		p.refusedCall(err.Error(), p.explainIdentities())
		return nil, id, err
	}
	if !s.theirAuthOK(psk, auth.Data, idi) {
		err := fmt.Errorf("%s called, and its authentication is wrong: the pre-shared keys differ", id)
		p.refusedCall(err.Error(), append(p.explainIdentities(), "theirs: "+id.String()))
		return nil, id, err
	}
	return p, id, nil
}

// choosePeer is the best of those that are called so: one whose local identity was asked for before others, an exact identity before a pattern, one that is
// looked for at this address before one that may call from anywhere, and that before one that is looked for elsewhere; then by the order of the configuration.
func (s *ikeSA) choosePeer(ps []wire.Payload, id identity.ID) *peer {
	var best *peer
	bestRank := -1
	for _, p := range s.e.peers.called(id, s.net.local.Addr()) {
		if _, ok := proposal.Choose(p.cfg.Proposals, []wire.Proposal{s.keys.proposal}); !ok {
			continue
		}
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
		if rank > bestRank {
			best, bestRank = p, rank
		}
	}
	return best
}

// onlyOne ends every older IKE SA with the same authenticated identity, because the peer says that it has no other: it may "delete any other IKE
// SAs it has to the same authenticated identity without waiting for a timeout" (RFC 7296, Section 2.4). An IKE SA that we made while
// this one was on its way is not what the peer speaks of: both sides started at once, and settleDuplicates decides. One that the peer made is: it has given up a
// try that came to IKE_AUTH.
func (s *ikeSA) onlyOne() {
	for _, o := range slices.Clone(s.peer.sas) {
		if o == s || o.remoteID != s.remoteID || o.state < saEstablished || o.state >= saDead {
			continue
		}
		if !o.initiator || o.life.established.Before(s.life.born) {
			o.end(endRestarted, "the peer started anew")
		}
	}
}

// maxRedundant bounds the IKE SAs that one identity makes with us, and those that it rekeyed and has not deleted. An honest peer has two at most, while it
// authenticates anew.
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
