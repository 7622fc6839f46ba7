package ike

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"culvert/ike/proposal"
	"culvert/ike/timer"
	"culvert/ike/wire"
	"culvert/selector"
)

// Child SAs for single resources (RFC 9611). A resource is a worker of the dataplane. Workers with
// SAs of their own neither wait for each other's sequence numbers nor share a replay window.
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

// group is what is known about a policy's Child SAs for single resources.
type group struct {
	able      bool      // both sides agreed to more than one
	notBefore time.Time // no further one is requested before this time
}

// resourcePause is how long a peer that refused a further Child SA is not asked again. TS_MAX_QUEUE
// means that the peer wants no more of them for these selectors (RFC 9611), but does not tell for
// how long. A rekeying may be what fills the queue.
const resourcePause = 10 * time.Minute

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
func (l *chain) resourceInfo() *wire.Notify {
	n := &wire.Notify{Kind: wire.SAResourceInfo}
	if l.resource > 0 {
		n.Data = binary.BigEndian.AppendUint32(nil, uint32(l.resource-1))
	}
	return n
}

// infoWanted reports whether the peer's message has SA_RESOURCE_INFO and the configuration allows
// it.
func (s *ikeSA) infoWanted(ps []wire.Payload) bool {
	_, ok := wire.FindNotify(ps, wire.SAResourceInfo)
	return ok && s.party.cfg.PerResource
}

// acquireResource requests a Child SA for a worker. The policy has others to send on, so nothing
// waits for this one.
func (pol *policy) acquireResource(resource int) {
	e := pol.party.e
	s := pol.party.main()
	if resource > e.cfg.Resources || s == nil || pol.main.on(s) == nil || !pol.mayAsk() {
		return
	}
	if slices.ContainsFunc(pol.more, func(l *chain) bool { return l.resource == resource }) {
		return
	}
	l := &chain{policy: pol, resource: resource, state: chainQueued}
	pol.more = append(pol.more, l)
	x := newChildExchange(pol, nil)
	x.chain = l
	s.enqueue(x)
}

func (pol *policy) mayAsk() bool {
	e := pol.party.e
	return pol.group.able && pol.want && !e.stopping && !pol.party.removed && !e.handling.now.Before(pol.group.notBefore)
}

// further reports whether the offer is for a new Child SA of a single resource.
func (o *childOffer) further() bool { return o.chain != nil }

// furtherNeedless reports, when the exchange's turn comes, whether the Child SA for the resource is
// no longer needed: the one beside it is gone, or the worker got one that the peer made.
func (x *childExchange) furtherNeedless(s *ikeSA) bool {
	return x.policy.main.on(s) == nil || !x.policy.mayAsk() || slices.ContainsFunc(x.policy.more, func(l *chain) bool {
		return l != x.chain && l.resource == x.chain.resource
	})
}

// like returns our ESP proposal with the transforms of the given pair, so that only the key
// exchange can still be chosen. All properties of a Child SA for a single resource must be those of
// the first one (RFC 9611, Section 3).
func (pol *policy) like(f *pair) []wire.Proposal {
	chosen := proposal.WithoutKE([]wire.Proposal{f.proposal})[0]
	chosen.SPI = spiOctets(f.sa.SPIIn) // any valid SPI, for Matches
	for _, our := range pol.cfg.Proposals {
		bare := proposal.WithoutKE([]wire.Proposal{our})[0]
		if proposal.Matches(bare, chosen) {
			transforms := append(slices.Clone(chosen.Transforms), proposal.OfType(our, wire.TransformKE)...)
			return []wire.Proposal{{Protocol: our.Protocol, Transforms: transforms}}
		}
	}
	return pol.cfg.Proposals
}

// pickFurther returns the pair of the main chain beside which the peer asks for a further Child SA:
// one on this IKE SA whose selectors are those that the request and the policy lead to. The
// request's first selectors may be those of a packet, and so lie within the others (RFC 9611,
// Section 4). It returns nil if the request is for something new.
func (s *ikeSA) pickFurther(terms childTerms, local, remote []selector.Selector) *pair {
	if !terms.info || terms.old != nil {
		return nil
	}
	for _, pol := range s.party.policies {
		f := pol.main.on(s)
		if f == nil || !f.grouped {
			continue
		}
		if sameSelectors(selector.Narrow(local, pol.cfg.Local), f.sa.LocalTS) && sameSelectors(selector.Narrow(remote, pol.cfg.Remote), f.sa.RemoteTS) {
			return f
		}
	}
	return nil
}

// sameSelectors reports whether two lists match the same packets.
func sameSelectors(a, b []selector.Selector) bool {
	return selector.Subset(a, b) && selector.Subset(b, a)
}

// agreeFurther agrees to a further Child SA beside f, or refuses.
func (s *ikeSA) agreeFurther(f *pair, theirs []wire.Proposal) (childPick, error) {
	pol := f.policy
	if len(pol.more) >= s.e.maxResourceSAs() || len(s.pairs) >= s.e.cfg.Limits.MaxChildren {
		// NO_ADDITIONAL_SAS is not used, because the peer could apply it to all selectors (RFC
		// 9611, Section 6).
		s.e.count("ike_ts_max_queue")
		return childPick{}, refuse(wire.TSMaxQueue, "the Child SA has reached its limit of further Child SAs")
	}
	chosen, ok := proposal.Choose(pol.like(f), theirs)
	if !ok {
		s.e.count("ike_no_proposal_chosen")
		return childPick{}, refuse(wire.NoProposalChosen, "the ESP proposal differs from that of the existing Child SA")
	}
	return childPick{policy: pol, chosen: chosen, local: f.sa.LocalTS, remote: f.sa.RemoteTS, further: true}, nil
}

// chainFor returns the chain for a pair that the peer asks for.
func (pick childPick) chainFor(terms childTerms) *chain {
	switch {
	case terms.old != nil:
		return terms.old.chain.now()
	case pick.further && pick.policy.main.best() != nil: // the main pair may have ended during the key exchange computation
		return pick.policy.freeChain()
	}
	return &pick.policy.main
}

// freeChain returns a new chain for a Child SA of the peer, for the worker that has the fewest (RFC
// 9611, Section 4). A worker's own request that is outstanding counts as one. A worker whose
// request is still queued comes first.
func (pol *policy) freeChain() *chain {
	load := make([]int, max(1, pol.party.e.cfg.Resources))
	for _, l := range pol.more {
		if l.state == chainQueued {
			load[l.resource-1]--
			continue
		}
		load[l.resource-1] += 2
	}
	return &chain{policy: pol, resource: 1 + slices.Index(load, slices.Min(load))}
}

// acceptFurther ends our exchange for a worker's Child SA, which is installed.
func (x *childExchange) acceptFurther(s *ikeSA, p *pair, ps []wire.Payload) {
	if !s.infoWanted(ps) {
		// The peer took it for a Child SA of the usual kind, or for a successor of the other one.
		x.policy.group.able = false
		p.delete(endReplaced, "the peer did not make it for a single resource")
		return
	}
	p.notice(Info, "resource-up", fmt.Sprintf("%s is worker %d's", p, p.sa.Resource-1))
	s.useNow(p)
}

// refusedFurther reacts to an error response. There are other Child SAs to send on.
func (x *childExchange) refusedFurther(s *ikeSA, kind wire.NotifyType) {
	x.release(s)
	if kind == wire.TemporaryFailure {
		x.policy.group.notBefore = s.e.handling.now.Add(timer.TemporaryWait(s.e.cfg.Rand))
		return
	}
	x.chain.failed(refusalText(kind))
}

// failed records that a Child SA for a worker was refused.
func (l *chain) failed(why string) {
	e := l.policy.party.e
	l.policy.group.notBefore = e.handling.now.Add(timer.Longer(resourcePause, e.cfg.Rand))
	l.policy.party.notice(Info, "resource-failed", l.policy.cfg.Name, "no "+l.name()+": "+why)
}

// finished records that our request for the chain's first pair has ended.
func (l *chain) finished() {
	if l.state != chainMerged {
		l.state = chainSettled
	}
	l.tidy()
}
