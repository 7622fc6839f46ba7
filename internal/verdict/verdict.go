// Package verdict makes words of facts: what is wrong with a peer or a child, and what to do about
// it. Silence is explained as well as answers are.
//
//	engine, packet path, host  -->  Peer  -->  Judge  -->  verdicts  -->  status, log, metrics
//
// It knows nothing but the facts, keeps no state, and asks for no time: each rule is a function of
// facts, and a fact ends a verdict at once. docs/verdicts.md lists the verdicts for users.
package verdict

import (
	"cmp"
	"slices"
)

// Level tells how bad a verdict is.
type Level uint8

// The levels.
const (
	Note Level = iota + 1 // it works, and this should be known
	Warn                  // it works, and this may be why something else does not, or soon will not
	Bad                   // it does not work
)

var levelNames = map[Level]string{Note: "note", Warn: "warn", Bad: "bad"}

func (l Level) String() string { return levelNames[l] }

// A Verdict is something that is wrong, or should be known.
type Verdict struct {
	Code   Code
	Level  Level
	Child  string // "": of the peer as a whole
	Text   string // a sentence: what is so, and from which facts
	Remedy string // a sentence: what to do; "" if there is nothing
}

// Code names a kind of verdict, for programs. It does not change once it is released.
type Code string

// A rule judges facts about a peer. It returns what it finds, at most one for each child.
type rule func(p *Peer) []Verdict

// rules are all rules. Of verdicts of a level, those of an earlier rule explain more.
var rules = []rule{
	ofPeer(unreachable), ofPeer(portSilent), ofPeer(noAnswer), ofPeer(authSilent), ofPeer(refused), ofPeer(begun), ofPeer(nobodyCalls),
	ofPeer(espBlocked), ofPeer(doubt), ofPeer(loops), ofPeer(refusedLately), ofPeer(churns), ofPeer(restarted),
	ofChildren(childDown), ofChildren(nothingReceived), ofChildren(foreignSource), ofChildren(drops), ofChildren(rekeyRefused),
	ofChildren(narrowed), ofChildren(smallPath),
}

// Judge returns the verdicts on a peer and its children, the worst first. The first one is that of
// the peer as a whole, if one is to be chosen. nil: nothing is known to be wrong.
func Judge(p *Peer) []Verdict {
	var list []Verdict
	for _, r := range rules {
		list = append(list, r(p)...)
	}
	slices.SortStableFunc(list, func(a, b Verdict) int { return cmp.Compare(b.Level, a.Level) })
	return list
}

// ofPeer makes a rule of a function for the peer as a whole, which returns a verdict without a code
// if it finds nothing.
func ofPeer(judge func(p *Peer) Verdict) rule {
	return func(p *Peer) []Verdict {
		if v := judge(p); v.Code != "" {
			return []Verdict{v}
		}
		return nil
	}
}

// ofChildren makes a rule of a function for one child.
func ofChildren(judge func(p *Peer, c *Child) Verdict) rule {
	return func(p *Peer) (list []Verdict) {
		for i := range p.Children {
			c := &p.Children[i]
			if c.Held {
				continue
			}
			if v := judge(p, c); v.Code != "" {
				v.Child = c.Name
				list = append(list, v)
			}
		}
		return list
	}
}
