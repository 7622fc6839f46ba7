package child

import (
	"fmt"
	"slices"
	"time"

	"culvert/selector"
)

// Child SAs for parts of a policy. A responder may narrow a request to a subset that must have a
// Child SA of its own (RFC 7296, Section 2.9). What the pairs of a policy do not carry is then
// asked for when a packet needs it, and becomes a chain of its own, a part. The peer may make parts
// as well, in requests that are narrower than the policy.

// maxParts bounds the parts of a policy that we ask for: a peer that narrows each of them to one
// flow could otherwise be made to have as many as there are flows.
const maxParts = 32

// mostUnanswered bounds the pause after requests for parts that the peer does not answer.
const mostUnanswered = time.Hour

// partRefusals is the back-off after requests for parts that were refused, or not answered.
type partRefusals struct {
	fails      int
	unanswered int // in a row
	notBefore  time.Time
}

// IsPart reports whether the chain's pairs carry a part of the policy, beside those of the main
// chain.
func (l *Chain) IsPart() bool { return !l.IsMain() && l.resource == 0 && l.state != chainMerged }

// Flow returns the packet for which the first pair of a part is asked; nil: the peer asked for it.
func (l *Chain) Flow() *selector.Flow { return l.flow }

// Parts returns the parts of the policy.
func (pol *Policy) Parts() []*Chain {
	if len(pol.more) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(pol.more), func(l *Chain) bool { return !l.IsPart() })
}

// acquirePart requests a part for a packet that the policy's pairs do not carry, or answers at once
// that none will come.
func (pol *Policy) acquirePart(f selector.Flow) {
	c, parts := pol.owner.Carrier(), pol.Parts()
	if slices.ContainsFunc(parts, func(l *Chain) bool { return l.state != chainSettled }) {
		return // the answer to that request is one to this packet
	}
	if c == nil || len(parts) >= pol.mostParts() || !pol.mayHavePart(&f) || pol.table.host.Now().Before(pol.partRefusals.notBefore) {
		pol.table.host.AcquireFailed(pol.ID)
		return
	}
	l := &Chain{policy: pol, flow: &f, state: chainQueued}
	pol.more = append(pol.more, l)
	c.Request(l)
}

// mostParts returns how many parts of the policy we may ask for.
func (pol *Policy) mostParts() int {
	if pol.granularity() == perNetworks {
		return max(maxParts, MaxNetworkPairs)
	}
	return maxParts
}

// mayHavePart reports whether a part may be asked for that carries the flow: with NarrowPeer none
// of what the peer did not grant when it was asked.
func (pol *Policy) mayHavePart(f *selector.Flow) bool {
	return (pol.Settings.Narrow == NarrowTraffic || !pol.wasAsked(f)) && pol.want && !pol.owner.Closed()
}

// needlessPart reports whether a request for a part is no longer needed.
func (l *Chain) needlessPart() bool {
	pol := l.policy
	if l.pair != nil {
		return !pol.wantsAll() || !pol.Up() || pol.touched(l.pair)
	}
	return !pol.mayHavePart(l.flow) || !pol.Up() || pol.carries(l.flow)
}

// Missing returns what to ask for in the request for a part: the networks of the policy, or the
// packet's pair of them, without those that its pairs already carry towards the packet's
// destination, or from its source.
func (l *Chain) Missing() (local, remote []selector.Selector) {
	pol := l.policy
	whole := pol.whole()
	if pol.granularity() == perNetworks {
		if g := pol.pairFor(l.flow); g != nil {
			whole = g
		}
	}
	local, remote = whole.local, whole.remote
	var ours, theirs []selector.Selector
	for _, g := range pol.grants() {
		if len(ours)+len(g.local) > maxCut || len(theirs)+len(g.remote) > maxCut {
			break
		}
		if slices.ContainsFunc(g.local, func(s selector.Selector) bool { return s.MatchesSource(l.flow) }) {
			theirs = append(theirs, g.remote...)
		} else if slices.ContainsFunc(g.remote, func(s selector.Selector) bool { return s.MatchesDest(l.flow) }) {
			ours = append(ours, g.local...)
		}
	}
	return selector.Without(local, ours), selector.Without(remote, theirs)
}

// maxCut bounds the selectors that are left out of a request. One that asks for what is there
// already does no harm: what it is granted must carry something else.
const maxCut = 128

// Useful reports whether a grant of the peer's carries the packet that it was asked for, or at
// least something that no pair carries.
func (l *Chain) Useful(local, remote []selector.Selector) bool {
	if l.flow != nil && selector.MatchOutbound(l.flow, local, remote) {
		return true
	}
	return !covered(&grant{selector.Normalize(local), selector.Normalize(remote)}, l.policy.grants())
}

// Carries reports whether a pair of the policy carries the packet that the part was asked for, or
// something of the networks.
func (l *Chain) Carries() bool {
	if l.pair != nil {
		return l.policy.touched(l.pair)
	}
	return l.policy.carries(l.flow)
}

// home returns the chain for the first pair of a part: the main one, if that has nothing to send
// on.
func (l *Chain) home() *Chain {
	pol := l.policy
	if !l.IsPart() || len(l.pairs) > 0 || pol.main.Best() != nil {
		return l
	}
	pol.more = slices.DeleteFunc(pol.more, func(m *Chain) bool { return m == l })
	l.state = chainMerged
	return &pol.main
}

// PartRefused records that a request for a part was refused, or came to nothing usable.
func (l *Chain) PartRefused(t Trouble) {
	pol := l.policy
	if pol.partRefusals.fails++; pol.granularity() > perPolicy { // others may be granted
		pol.partRefusals.fails = 1
	}
	l.PausePart(pol.owner.Backoff().Pause(pol.partRefusals.fails, pol.table.host.Rand()))
	l.refused("part-failed", t)
}

// refused gives notice that a request for a chain other than the main one came to nothing.
func (l *Chain) refused(event string, t Trouble) {
	t.Reason = "no " + l.name() + ": " + t.Reason
	l.policy.owner.Report(Report{Policy: l.policy, Event: event, Trouble: t})
}

// PausePart has the policy request no part for d, or not the networks of this one until those of
// the others were asked for.
func (l *Chain) PausePart(d time.Duration) {
	l.policy.partRefusals.unanswered = 0
	if l.pair != nil {
		l.policy.rest.refused = append(l.policy.rest.refused, l.pair)
		return
	}
	l.policy.partRefusals.notBefore = l.policy.table.host.Now().Add(d)
}

// PartUnanswered records that a request for a part was not answered until the end of its carrier,
// while the peer made another carrier. On that it is likely to be as silent, and each such request
// costs a carrier, since the next one waits behind it: no part of the policy is asked for until
// after a pause. It grows to mostUnanswered, until the peer answers, a command asks for the policy,
// or the policy is lost: what comes then may be another life of the peer's.
func (l *Chain) PartUnanswered() {
	pol, b := l.policy, l.policy.owner.Backoff()
	pol.partRefusals.unanswered++
	b.Max = max(b.Max, mostUnanswered)
	pause := b.Pause(pol.partRefusals.unanswered, pol.table.host.Rand())
	pol.partRefusals.notBefore = pol.table.host.Now().Add(pause)
	if pol.wantsAll() {
		pol.table.after(&pol.rest.timer, pause)
	}
	const text = "no %s: the peer does not answer the request; it is asked again after %s"
	pol.report("part-failed", fmt.Sprintf(text, l.name(), pause.Round(time.Second)))
}

// askPartsAgain ends the pause after requests for parts that were not answered.
func (pol *Policy) askPartsAgain() {
	if pol.partRefusals.unanswered > 0 {
		pol.partRefusals = partRefusals{}
		pol.table.stop(&pol.rest.timer)
		pol.askRestAgain()
	}
}

// PartMade records that a request for a part has been granted.
func (l *Chain) PartMade() { l.policy.partRefusals = partRefusals{} }

// ChainOf returns the chain for a new pair with the given selectors: the one whose pair has the
// same, or the main one if the new pair carries all that the main chain's does, or else a new part.
func (pol *Policy) ChainOf(local, remote []selector.Selector) *Chain {
	p, parts := pol.main.Best(), pol.Parts()
	if p == nil && len(parts) == 0 {
		return &pol.main
	}
	asked := &grant{selector.Normalize(local), selector.Normalize(remote)}
	if l := pol.chainLike(asked); l != nil {
		return l
	}
	if p == nil || covered(grantOf(p), []*grant{asked}) {
		return &pol.main
	}
	return &Chain{policy: pol}
}

// chainLike returns the chain whose pair carries the same, or nil.
func (pol *Policy) chainLike(g *grant) *Chain {
	for _, l := range append([]*Chain{&pol.main}, pol.Parts()...) {
		if p := l.Best(); p != nil && g.equal(grantOf(p)) {
			return l
		}
	}
	return nil
}

// For returns the chain for the pair of our request for a part: one whose pair carries the same, as
// the peer asked for it at the same time, or else this one.
func (l *Chain) For(local, remote []selector.Selector) *Chain {
	if same := l.policy.chainLike(&grant{selector.Normalize(local), selector.Normalize(remote)}); same != nil {
		return same
	}
	return l.Now()
}

// carriesAll reports whether the pair carries all that another does.
func (p *Pair) carriesAll(o *Pair) bool { return covered(grantOf(o), []*grant{grantOf(p)}) }
