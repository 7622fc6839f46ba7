package child

import (
	"fmt"
	"slices"

	"culvert/selector"
)

// A Chain is a sequence of Child SA pairs, each rekeyed to the next. A policy has a main chain,
// whose pair any worker of the dataplane may send on. With a peer that makes Child SAs for single
// resources (RFC 9611), or for parts of the policy, it has further chains. When the main chain
// loses its last pair it takes over the pairs of another chain: each side decides for itself which
// Child SA is for all workers.
type Chain struct {
	policy   *Policy
	resource int // the worker of the dataplane, counted from 1; 0: any
	flow     *selector.Flow
	pair     *grant  // of networks for which the first pair is asked without a packet
	pairs    []*Pair // oldest first
	state    chainState
}

// chainState is the state of a chain other than the main one, which is always chainSettled.
type chainState uint8

const (
	chainSettled chainState = iota // no request of ours for its first pair is queued or under way
	chainQueued                    // our request for its first pair waits for its turn
	chainAsking                    // our request for its first pair is under way
	chainMerged                    // its pairs have become those of the main chain
)

// Best returns the pair to send on: the newest live one, otherwise the newest replaced one, or nil.
func (l *Chain) Best() *Pair {
	var replaced *Pair
	for _, p := range slices.Backward(l.pairs) {
		switch {
		case p.state == Live:
			return p
		case p.state == Replaced && replaced == nil:
			replaced = p
		}
	}
	return replaced
}

// On returns the newest live pair of the chain on a carrier, or nil.
func (l *Chain) On(c Carrier) *Pair {
	for _, p := range slices.Backward(l.pairs) {
		if p.carrier == c && p.state == Live {
			return p
		}
	}
	return nil
}

// Beside returns the pair on a carrier beside which the peer may ask for others: On, or else the
// newest one that a pair on another carrier was to replace, of which the peer need not know.
func (l *Chain) Beside(c Carrier) *Pair {
	if p := l.On(c); p != nil {
		return p
	}
	for _, p := range slices.Backward(l.pairs) {
		if p.carrier == c && p.state == Replaced && p.next != nil && p.next.carrier != c {
			return p
		}
	}
	return nil
}

// Now returns the chain that has this one's pairs: the main chain after a merge.
func (l *Chain) Now() *Chain {
	if l.state == chainMerged {
		return &l.policy.main
	}
	return l
}

// IsMain reports whether the chain is the policy's main one.
func (l *Chain) IsMain() bool { return l == &l.policy.main }

// Policy returns the policy that the chain belongs to.
func (l *Chain) Policy() *Policy { return l.policy }

// Pairs returns the pairs of the chain, the oldest first. The caller must not change the list.
func (l *Chain) Pairs() []*Pair { return l.pairs }

// Resource returns the worker that the chain is for, counted from 1; 0: any.
func (l *Chain) Resource() int { return l.resource }

// Settled reports whether no request for the chain's first pair is queued or under way.
func (l *Chain) Settled() bool { return l.state == chainSettled }

// name returns a description, for people, of a chain other than the main one.
func (l *Chain) name() string {
	if l.resource == 0 {
		return "Child SA for a further part of the networks"
	}
	return fmt.Sprintf("Child SA of worker %d", l.resource-1)
}

// add appends a new pair to the chain.
func (l *Chain) add(p *Pair) {
	p.chain = l
	l.pairs = append(l.pairs, p)
	if pol := l.policy; !l.IsMain() && !slices.Contains(pol.more, l) { // it may have been dropped meanwhile
		pol.more = append(pol.more, l)
	}
}

// remove removes a pair from its chain.
func (l *Chain) remove(p *Pair) {
	l.pairs = slices.DeleteFunc(l.pairs, func(q *Pair) bool { return q == p })
	l.tidy()
	if pol := l.policy; len(pol.main.pairs) == 0 {
		pol.promote()
	}
}

// tidy drops a chain that has no pair and no request under way.
func (l *Chain) tidy() {
	if pol := l.policy; !l.IsMain() && len(l.pairs) == 0 && l.state == chainSettled {
		pol.more = slices.DeleteFunc(pol.more, func(m *Chain) bool { return m == l })
	}
}

// Main returns the chain whose pair any worker may send on.
func (pol *Policy) Main() *Chain { return &pol.main }

// Further returns the chains beside the main one.
func (pol *Policy) Further() []*Chain { return pol.more }

// chains returns all chains of the policy, the main one first.
func (pol *Policy) chains() []*Chain { return append([]*Chain{&pol.main}, pol.more...) }

// Pairs returns all pairs of the policy.
func (pol *Policy) Pairs() []*Pair {
	if len(pol.more) == 0 {
		return slices.Clone(pol.main.pairs)
	}
	var list []*Pair
	for _, l := range pol.chains() {
		list = append(list, l.pairs...)
	}
	return list
}

// Best returns the pair that represents the policy, or nil.
func (pol *Policy) Best() *Pair {
	if p := pol.main.Best(); p != nil {
		return p
	}
	for _, l := range pol.more { // every pair of the main chain is being deleted
		if p := l.Best(); p != nil {
			return p
		}
	}
	return nil
}

// sendsBeside reports whether a pair other than p is sent on and remains usable.
func (pol *Policy) sendsBeside(p *Pair) bool {
	return slices.ContainsFunc(pol.Pairs(), func(q *Pair) bool { return q != p && q.outbound == outActive && q.state.Usable() })
}

// promote moves the pairs of another chain to the main one, which has none left.
func (pol *Policy) promote() {
	i := slices.IndexFunc(pol.more, func(l *Chain) bool { return l.Best() != nil })
	if i < 0 {
		i = slices.IndexFunc(pol.more, func(l *Chain) bool { return len(l.pairs) > 0 })
	}
	if i < 0 {
		return
	}
	l := pol.more[i]
	pol.more = slices.Delete(pol.more, i, i+1)
	pol.main.pairs, l.pairs = l.pairs, nil
	for _, p := range pol.main.pairs {
		p.chain = &pol.main
	}
	l.state = chainMerged
}

// ended gives notice of the end of a chain other than the main one.
func (l *Chain) ended(why string) {
	if l.IsMain() {
		return
	}
	event := "resource-down"
	if l.IsPart() {
		event = "part-down"
	}
	l.policy.report(event, l.name()+" ended: "+why)
}
