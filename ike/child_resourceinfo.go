package ike

import (
	"encoding/binary"
	"fmt"
	"slices"

	"culvert/ike/child"
	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/timer"
	"culvert/ike/wire"
	"culvert/selector"
)

// Child SAs for single resources (RFC 9611), as they are negotiated.
//
//	the Child SA for any worker, in IKE_AUTH or CREATE_CHILD_SA, asks whether there may be more:
//	HDR, SK {..., SA, [Ni,] TSi, TSr, N(SA_RESOURCE_INFO)}  -->
//	                    <--  HDR, SK {..., SA, [Nr,] TSi, TSr, N(SA_RESOURCE_INFO)}
//	each further one, from either side, when a worker is busy on one that is not its own:
//	HDR, SK {SA, Ni, [KEi,] TSi, TSr, N(SA_RESOURCE_INFO, worker)}  -->
//	                    <--  HDR, SK {SA, Nr, [KEr,] TSi, TSr, N(SA_RESOURCE_INFO, worker)}
//	                    <--  HDR, SK {N(TS_MAX_QUEUE)}
//
// A peer whose response lacks the notify makes one Child SA, as without RFC 9611. We choose the
// worker for each Child SA of the peer ourselves: the data of the notify is the other side's name
// for one of its own resources, and useful for debugging only.

// leastResourceSAs is the least limit of further Child SAs of one policy. The peer may have more
// processors than we have, and an SA costs little.
const leastResourceSAs = 16

// maxResourceSAs returns the limit of a policy's chains beside the main one: at least twice the
// number of processors, as RFC 9611, Section 6 recommends, because both sides may ask at once.
func (e *Engine) maxResourceSAs() int { return max(2*e.cfg.Resources, leastResourceSAs) }

// announces reports whether we tell the peer that we want more than one Child SA. With one worker
// we do not, but agree if the peer asks.
func (p *profile) announces() bool { return p.cfg.PerResource && p.e.cfg.Resources > 1 }

// resourceInfo returns the SA_RESOURCE_INFO notify for a Child SA of the chain. It has no data for
// the main chain (RFC 9611, Section 5.1).
func resourceInfo(l *child.Chain) *wire.Notify {
	n := &wire.Notify{Kind: wire.SAResourceInfo}
	if l.Resource() > 0 {
		n.Data = binary.BigEndian.AppendUint32(nil, uint32(l.Resource()-1))
	}
	return n
}

// namesResource reports whether the notify is about a Child SA for a single resource.
func namesResource(n *wire.Notify) bool { return len(n.Data) > 0 }

// infoWanted reports whether the peer's message has SA_RESOURCE_INFO and the configuration allows
// it.
func (p *profile) infoWanted(ps []wire.Payload) bool {
	_, ok := wire.FindNotify(ps, wire.SAResourceInfo)
	return ok && p.cfg.PerResource
}

// like returns our ESP proposal with the transforms of the given pair, so that only the key
// exchange can still be chosen. All properties of a Child SA for a single resource must be those of
// the first one (RFC 9611, Section 3).
func like(f *child.Pair) []wire.Proposal {
	chosen := proposal.WithoutKE([]wire.Proposal{negotiated(f).proposal})[0]
	chosen.SPI = spiOctets(f.SA.SPIIn) // any valid SPI, for Matches
	for _, our := range f.Policy().Settings.Proposals {
		bare := proposal.WithoutKE([]wire.Proposal{our})[0]
		if proposal.Matches(bare, chosen) {
			transforms := append(slices.Clone(chosen.Transforms), proposal.OfType(our, wire.TransformKE)...)
			return []wire.Proposal{{Protocol: our.Protocol, Transforms: transforms}}
		}
	}
	return f.Policy().Settings.Proposals
}

// maxFurther bounds the pairs that are compared in full with a request for a further one.
const maxFurther = 4

// besides returns the pair of the main chain beside which the peer asks for a further Child SA:
// one on this IKE SA whose selectors are those that the request and the policy lead to. The
// request's first selectors may be those of a packet, and so lie within the others (RFC 9611,
// Section 4). It returns nil if the request is for something new.
func (a *childAnswer) besides(s *ikeSA, q *childRequest) *child.Pair {
	if !a.info || a.old != nil {
		return nil
	}
	w, tried := selector.NewWork(maxSelectorWork), 0
	for _, pol := range s.party.policies {
		f := pol.Main().Beside(&s.children)
		if f == nil || !f.Grouped() || modeOf(f) != q.mode || !selector.Prepare(f.SA.LocalTS).Within(q.local, w) || !selector.Prepare(f.SA.RemoteTS).Within(q.remote, w) {
			continue
		}
		if tried++; tried > maxFurther {
			return nil
		}
		if sameSelectors(selector.Narrow(q.local, pol.Settings.Local), f.SA.LocalTS) && sameSelectors(selector.Narrow(q.remote, pol.Settings.Remote), f.SA.RemoteTS) {
			return f
		}
	}
	return nil
}

// sameSelectors reports whether two lists match the same packets.
func sameSelectors(a, b []selector.Selector) bool {
	return selector.Subset(a, b) && selector.Subset(b, a)
}

// pickFurther agrees to a further Child SA beside f, or refuses.
func pickFurther(s *ikeSA, f *child.Pair, theirs []wire.Proposal) (childPick, error) {
	pol := f.Policy()
	if len(pol.Further())-len(pol.Parts()) >= s.e.maxResourceSAs() || len(s.children.Pairs()) >= s.e.cfg.Limits.MaxChildren {
		// NO_ADDITIONAL_SAS is not used, because the peer could apply it to all selectors (RFC
		// 9611, Section 6).
		s.e.count("ike_ts_max_queue")
		return childPick{}, refuse(wire.TSMaxQueue, "the Child SA has reached its limit of further Child SAs")
	}
	chosen, ok := proposal.Choose(like(f), theirs)
	if !ok {
		s.e.count("ike_no_proposal_chosen")
		return childPick{}, refuseFor(wire.NoProposalChosen, reason.Facts{
			Cause: reason.ESPProposal, Ours: reason.Offer{Proposals: like(f)}, Theirs: reason.Offer{Proposals: theirs},
			Why: "the ESP proposal differs from that of the existing Child SA",
		})
	}
	return childPick{policy: pol, chosen: chosen, local: f.SA.LocalTS, remote: f.SA.RemoteTS, further: true}, nil
}

// further reports whether the offer is of a Child SA for a single resource.
func (o *childOffer) further() bool { return o.beside() && o.chain.Resource() > 0 }

// acceptFurther ends our exchange for a worker's Child SA, which is installed.
func (x *childExchange) acceptFurther(s *ikeSA, p *child.Pair, ps []wire.Payload) {
	if !s.party.infoWanted(ps) {
		// The peer took it for a Child SA of the usual kind, or for a successor of the other one.
		x.policy.NoFurther()
		p.Delete(child.EndReplaced, "the peer did not make it for a single resource")
		return
	}
	p.Report("resource-up", fmt.Sprintf("%s is worker %d's", p, p.SA.Resource-1))
	s.useNow(p)
}

// refusedFurther reacts to an error response. There are other Child SAs to send on.
func (x *childExchange) refusedFurther(s *ikeSA, kind wire.NotifyType) {
	x.release(s)
	if kind == wire.TemporaryFailure {
		x.chain.Pause(timer.TemporaryWait(s.e.cfg.Rand))
		return
	}
	x.chain.Failed(x.facts(s, kind).Trouble())
}
