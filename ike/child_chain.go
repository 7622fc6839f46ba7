package ike

import (
	"fmt"
	"slices"
)

// chain is the Child SA pairs that do one work one after another: one that was asked for anew, and those that it was rekeyed to. A policy has the main chain, whose
// pair any worker of the dataplane may send on, and with a peer that makes Child SAs for single resources (RFC 9611) others besides. Should the main chain lose its
// last pair, the pairs of another take its place: which of the Child SAs is for all is each side's own affair.
type chain struct {
	policy   *policy
	resource int     // the dataplane's worker, counted from 1; 0: any
	pairs    []*pair // by birth
	state    chainState
}

// chainState is where a chain other than the main one stands. The main one stays settled.
type chainState uint8

const (
	chainSettled chainState = iota // no request of ours for its first pair is queued or under way
	chainQueued                    // our request for its first pair waits for its turn
	chainAsking                    // our request for its first pair is under way
	chainMerged                    // its pairs have become those of the main chain
)

// best is the pair to send on: the newest that is live, or else the newest that was replaced.
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

// on is the newest live pair of the chain on an IKE SA, or nil.
func (l *chain) on(s *ikeSA) *pair {
	for _, p := range slices.Backward(l.pairs) {
		if p.owner == s && p.state == pairLive {
			return p
		}
	}
	return nil
}

// now is what has become of the chain.
func (l *chain) now() *chain {
	if l.state == chainMerged {
		return &l.policy.main
	}
	return l
}

func (l *chain) isMain() bool { return l == &l.policy.main }

// name is a chain other than the main one for people.
func (l *chain) name() string { return fmt.Sprintf("Child SA of worker %d", l.resource-1) }

// add puts a new pair into its chain.
func (l *chain) add(p *pair) {
	p.chain = l
	l.pairs = append(l.pairs, p)
	if pol := l.policy; !l.isMain() && !slices.Contains(pol.more, l) { // it may have been given up meanwhile
		pol.more = append(pol.more, l)
	}
}

// remove takes a pair out.
func (l *chain) remove(p *pair) {
	l.pairs = slices.DeleteFunc(l.pairs, func(q *pair) bool { return q == p })
	l.tidy()
	if pol := l.policy; len(pol.main.pairs) == 0 {
		pol.promote()
	}
}

// tidy gives up a chain that has nothing.
func (l *chain) tidy() {
	if pol := l.policy; !l.isMain() && len(l.pairs) == 0 && l.state == chainSettled {
		pol.more = slices.DeleteFunc(pol.more, func(m *chain) bool { return m == l })
	}
}

// chains is all chains of the policy, the main one first.
func (pol *policy) chains() []*chain { return append([]*chain{&pol.main}, pol.more...) }

// pairs is all pairs of the policy.
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

// best is the pair that stands for the policy.
func (pol *policy) best() *pair {
	if p := pol.main.best(); p != nil {
		return p
	}
	for _, l := range pol.more { // all of the main chain are being deleted
		if p := l.best(); p != nil {
			return p
		}
	}
	return nil
}

// sendsBeside says whether another pair than p is sent on, and will be.
func (pol *policy) sendsBeside(p *pair) bool {
	return slices.ContainsFunc(pol.pairs(), func(q *pair) bool { return q != p && q.outbound == outActive && q.state.usable() })
}

// promote makes the pairs of another chain those of the main one, which has none left.
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

// ended tells people that a chain which is not the main one is no more.
func (l *chain) ended(why string) {
	if l.isMain() {
		return
	}
	l.policy.peer.notice(Info, "resource-down", l.policy.cfg.Name, l.name()+" ended: "+why)
}
