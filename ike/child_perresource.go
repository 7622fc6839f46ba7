package ike

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"culvert/ike/proposal"
	"culvert/ike/wire"
	"culvert/selector"
)

// Child SAs for single resources (RFC 9611). A resource is a worker of the dataplane: with SAs of their own, workers neither wait for each other's sequence numbers
// nor share a replay window.
//
//	the Child SA that any worker may send on, in IKE_AUTH or CREATE_CHILD_SA, asks whether there may be more:
//	HDR, SK {..., SA, [Ni,] TSi, TSr, N(SA_RESOURCE_INFO)}  -->
//	                                                   <--  HDR, SK {..., SA, [Nr,] TSi, TSr, N(SA_RESOURCE_INFO)}
//	each further one, from either side, when a worker is busy on one that is not its own:
//	HDR, SK {SA, Ni, [KEi,] TSi, TSr, N(SA_RESOURCE_INFO, worker)}  -->
//	                                                   <--  HDR, SK {SA, Nr, [KEr,] TSi, TSr, N(SA_RESOURCE_INFO, worker)}
//	                                                   <--  HDR, SK {N(TS_MAX_QUEUE)}
//
// A peer whose answer lacks the notify makes one Child SA, as ever. Which of our workers a Child SA of the peer's is for we decide ourselves: what the notify holds is
// the other side's own name for a resource of its own, and good for debugging only.

// group is what is known of a policy's Child SAs for single resources.
type group struct {
	able      bool      // both sides said that there may be more than one
	notBefore time.Time // the peer is not asked for another one until then
}

// resourcePause is how long a peer that refused a further Child SA is not asked for one.
// TS_MAX_QUEUE means that the peer wants no more of them for these selectors (RFC 9611), but does
// not tell for how long; what fills it up may be a rekeying.
const resourcePause = 10 * time.Minute

// leastResourceSAs is how many further Child SAs of one policy a peer may make at the very least: it may have more processors than we, and an SA costs little.
const leastResourceSAs = 16

// maxResourceSAs bounds the chains of a policy beside the main one: twice the number of processors at the very least is what RFC 9611, Section 6 recommends, as both sides may ask at once.
func (e *Engine) maxResourceSAs() int { return max(2*e.cfg.Resources, leastResourceSAs) }

// announces says whether we tell the peer that we would have more than one Child SA. With one worker we would not, but make them if the peer asks.
func (p *peer) announces() bool { return p.cfg.PerResource && p.e.cfg.Resources > 1 }

// resourceInfo is the SA_RESOURCE_INFO notify of a Child SA of the chain; without a name of a resource where it is for none (RFC 9611, Section 5.1).
func (l *chain) resourceInfo() *wire.Notify {
	n := &wire.Notify{Kind: wire.SAResourceInfo}
	if l.resource > 0 {
		n.Data = binary.BigEndian.AppendUint32(nil, uint32(l.resource-1))
	}
	return n
}

// infoWanted says whether the peer's message speaks of resources, and we may.
func (s *ikeSA) infoWanted(ps []wire.Payload) bool {
	_, ok := wire.FindNotify(ps, wire.SAResourceInfo)
	return ok && s.peer.cfg.PerResource
}

// acquireResource is a worker's wish for a Child SA of its own. The policy has others to send on: if this one cannot be had, nothing waits for it.
func (pol *policy) acquireResource(resource int) {
	e := pol.peer.e
	s := pol.peer.main()
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
	e := pol.peer.e
	return pol.group.able && pol.want && !e.stopping && !pol.peer.removed && !e.handling.now.Before(pol.group.notBefore)
}

// further says whether it is a Child SA for a single resource that is asked for, and no replacement of one.
func (o *childOffer) further() bool { return o.chain != nil }

// furtherNeedless says that the Child SA for a resource is not to be asked for any more by the time the exchange's turn comes: what it is to stand beside is gone, or the
// peer has made one that the worker got.
func (x *childExchange) furtherNeedless(s *ikeSA) bool {
	return x.policy.main.on(s) == nil || !x.policy.mayAsk() || slices.ContainsFunc(x.policy.more, func(l *chain) bool {
		return l != x.chain && l.resource == x.chain.resource
	})
}

// like is the policy's ESP proposal with what was chosen for the pair, and no choice left but that of the key exchange: all properties of a Child SA for a single resource
// must be those of the first one (RFC 9611, Section 3).
func (pol *policy) like(f *pair) []wire.Proposal {
	chosen := proposal.WithoutKE([]wire.Proposal{f.proposal})[0]
	chosen.SPI = spiOctets(f.sa.SPIIn) // any will do
	for _, our := range pol.cfg.Proposals {
		bare := proposal.WithoutKE([]wire.Proposal{our})[0]
		if proposal.Matches(bare, chosen) {
			transforms := append(slices.Clone(chosen.Transforms), proposal.OfType(our, wire.TransformKE)...)
			return []wire.Proposal{{Protocol: our.Protocol, Transforms: transforms}}
		}
	}
	return pol.cfg.Proposals
}

// pickFurther finds what the peer asks for a further Child SA of: a pair of the main chain on this IKE SA, whose selectors are what the peer's come to with the policy. Its
// first selectors may be those of a packet, and so lie within the others (RFC 9611, Section 4). nil: it asks for something new.
func (s *ikeSA) pickFurther(terms childTerms, local, remote []selector.Selector) *pair {
	if !terms.info || terms.old != nil {
		return nil
	}
	for _, pol := range s.peer.policies {
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

// sameSelectors says whether two lists let the same packets through.
func sameSelectors(a, b []selector.Selector) bool {
	return selector.Subset(a, b) && selector.Subset(b, a)
}

// agreeFurther agrees to a further Child SA beside f.
func (s *ikeSA) agreeFurther(f *pair, theirs []wire.Proposal) (childPick, error) {
	pol := f.policy
	if len(pol.more) >= s.e.maxResourceSAs() || len(s.pairs) >= s.e.cfg.Limits.MaxChildren {
		// Never NO_ADDITIONAL_SAS, which the peer could take to be about all selectors (RFC 9611, Section 6).
		s.e.count("ike_ts_max_queue")
		return childPick{}, refuse(wire.TSMaxQueue, "the Child SA has as many beside it as it may")
	}
	chosen, ok := proposal.Choose(pol.like(f), theirs)
	if !ok {
		s.e.count("ike_no_proposal_chosen")
		return childPick{}, refuse(wire.NoProposalChosen, "the ESP proposal is not that of the Child SA which it is to stand beside")
	}
	return childPick{policy: pol, chosen: chosen, local: f.sa.LocalTS, remote: f.sa.RemoteTS, further: true}, nil
}

// chainFor is the chain of a pair that the peer asks for.
func (pick childPick) chainFor(terms childTerms) *chain {
	switch {
	case terms.old != nil:
		return terms.old.chain.now()
	case pick.further && pick.policy.main.best() != nil: // it may have ended while a key exchange was computed
		return pick.policy.freeChain()
	}
	return &pick.policy.main
}

// freeChain is a new chain for a Child SA of the peer's: for the worker that has the least of them (RFC 9611, Section 4). One that we have asked for ourselves counts; a worker for
// which we were about to ask comes first.
func (pol *policy) freeChain() *chain {
	load := make([]int, max(1, pol.peer.e.cfg.Resources))
	for _, l := range pol.more {
		if l.state == chainQueued {
			load[l.resource-1]--
			continue
		}
		load[l.resource-1] += 2
	}
	return &chain{policy: pol, resource: 1 + slices.Index(load, slices.Min(load))}
}

// acceptFurther ends our exchange for a worker's Child SA, which is there.
func (x *childExchange) acceptFurther(s *ikeSA, p *pair, ps []wire.Payload) {
	if !s.infoWanted(ps) {
		// The peer took it for one more of the usual kind, or for the successor of the other one.
		x.policy.group.able = false
		p.delete(endReplaced, "the peer made it as one that is for no single resource")
		return
	}
	p.notice(Info, "resource-up", fmt.Sprintf("%s is worker %d's", p, p.sa.Resource-1))
	s.useNow(p)
}

// refusedFurther reacts to an error in the response. Whatever it is, there are other Child SAs to send on.
func (x *childExchange) refusedFurther(s *ikeSA, kind wire.NotifyType) {
	x.release(s)
	if kind == wire.TemporaryFailure {
		x.policy.group.notBefore = s.e.handling.now.Add(temporaryWait(s.e.cfg.Rand))
		return
	}
	x.chain.failed(refusalText(kind))
}

// failed says that a worker's Child SA cannot be had.
func (l *chain) failed(why string) {
	e := l.policy.peer.e
	l.policy.group.notBefore = e.handling.now.Add(longer(resourcePause, e.cfg.Rand))
	l.policy.peer.notice(Info, "resource-failed", l.policy.cfg.Name, "no "+l.name()+": "+why)
}

// finished ends the asking for the chain's first pair.
func (l *chain) finished() {
	if l.state != chainMerged {
		l.state = chainSettled
	}
	l.tidy()
}
