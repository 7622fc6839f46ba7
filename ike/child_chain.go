package ike

import (
	"fmt"
	"slices"
)

// chain is a sequence of Child SA pairs, each rekeyed to the next. A policy has a main chain, whose
// pair any worker of the dataplane may send on. With a peer that makes Child SAs for single
// resources (RFC 9611) it has further chains. When the main chain loses its last pair it takes over
// the pairs of another chain: each side decides for itself which Child SA is for all workers.
type chain struct {
	policy   *policy
	resource int     // the worker of the dataplane, counted from 1; 0: any
	pairs    []*pair // oldest first
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

// best returns the pair to send on: the newest live one, otherwise the newest replaced one, or nil.
func (l *chain) best() *pair {
	var replaced *pair
	for _, p := range slices.Backward(l.pairs) {
		switch {
		case p.state == pairLive:
			return p
		case p.state == pairReplaced && replaced == nil:
			replaced = p
		}
	}
	return replaced
}

// on returns the newest live pair of the chain on an IKE SA, or nil.
func (l *chain) on(s *ikeSA) *pair {
	for _, p := range slices.Backward(l.pairs) {
		if p.owner == s && p.state == pairLive {
			return p
		}
	}
	return nil
}

// now returns the chain that has this one's pairs: the main chain after a merge.
func (l *chain) now() *chain {
	if l.state == chainMerged {
		return &l.policy.main
	}
	return l
}

func (l *chain) isMain() bool { return l == &l.policy.main }

// name returns a description, for people, of a chain other than the main one.
func (l *chain) name() string { return fmt.Sprintf("Child SA of worker %d", l.resource-1) }

// add appends a new pair to the chain.
func (l *chain) add(p *pair) {
	p.chain = l
	l.pairs = append(l.pairs, p)
	if pol := l.policy; !l.isMain() && !slices.Contains(pol.more, l) { // it may have been dropped meanwhile
		pol.more = append(pol.more, l)
	}
}

// remove removes a pair from its chain.
func (l *chain) remove(p *pair) {
	l.pairs = slices.DeleteFunc(l.pairs, func(q *pair) bool { return q == p })
	l.tidy()
	if pol := l.policy; len(pol.main.pairs) == 0 {
		pol.promote()
	}
}

// tidy drops a chain that has no pair and no request under way.
func (l *chain) tidy() {
	if pol := l.policy; !l.isMain() && len(l.pairs) == 0 && l.state == chainSettled {
		pol.more = slices.DeleteFunc(pol.more, func(m *chain) bool { return m == l })
	}
}

// chains returns all chains of the policy, the main one first.
func (pol *policy) chains() []*chain { return append([]*chain{&pol.main}, pol.more...) }

// pairs returns all pairs of the policy.
func (pol *policy) pairs() []*pair {
	if len(pol.more) == 0 {
		return slices.Clone(pol.main.pairs)
	}
	var list []*pair
	for _, l := range pol.chains() {
		list = append(list, l.pairs...)
	}
	return list
}

// best returns the pair that represents the policy, or nil.
func (pol *policy) best() *pair {
	if p := pol.main.best(); p != nil {
		return p
	}
	for _, l := range pol.more { // every pair of the main chain is being deleted
		if p := l.best(); p != nil {
			return p
		}
	}
	return nil
}

// sendsBeside reports whether a pair other than p is sent on and remains usable.
func (pol *policy) sendsBeside(p *pair) bool {
	return slices.ContainsFunc(pol.pairs(), func(q *pair) bool { return q != p && q.outbound == outActive && q.state.usable() })
}

// promote moves the pairs of another chain to the main one, which has none left.
func (pol *policy) promote() {
	i := slices.IndexFunc(pol.more, func(l *chain) bool { return l.best() != nil })
	if i < 0 {
		i = slices.IndexFunc(pol.more, func(l *chain) bool { return len(l.pairs) > 0 })
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
func (l *chain) ended(why string) {
	if l.isMain() {
		return
	}
	l.policy.party.notice(Info, "resource-down", l.policy.cfg.Name, l.name()+" ended: "+why)
}
