package ike

import (
	"math"
)

// Status returns a snapshot of every configured peer and child, in the order of the configuration,
// as of the last Handle. Durations in it count from that moment.
func (e *Engine) Status() []PeerStatus {
	list, _ := e.StatusPart(Mark{}, math.MaxInt)
	return list
}

// StatusPart returns a part of Status, so that a snapshot of many peers does not delay everything
// else: at most n peers from a place on, which is 0 for the first part and then the returned next.
// next is 0 after the last part. A peer that exists during all parts is in one of them, or, if
// SetPeers comes between, perhaps in two.
func (e *Engine) StatusPart(from Mark, n int) (list []PeerStatus, next Mark) {
	list = make([]PeerStatus, 0, min(n, len(e.peers.byName)))
	for p := range e.peers.parties(from) {
		if len(list) == n {
			return list, p.mark()
		}
		list = append(list, p.status())
	}
	return list, Mark{}
}

// StatusOfPart is StatusPart for one peer, or for one party, by the name that commands use for it.
// Of a peer that is not configured, or a party that is not connected, the list is empty.
func (e *Engine) StatusOfPart(name string, from Mark, n int) (list []PeerStatus, next Mark) {
	p := e.peers.byName[name]
	if p == nil {
		if q, err := e.named(name); err == nil {
			list = append(list, q.status())
		}
		return list, Mark{}
	}
	if from == (Mark{}) {
		from.Place = p.place
	}
	for q := range e.peers.parties(from) {
		switch {
		case q.profile != p:
			return list, Mark{}
		case len(list) == n:
			return list, q.mark()
		}
		list = append(list, q.status())
	}
	return list, Mark{}
}

// StatusOf returns the status of one peer; ok is false if there is none of that name.
func (e *Engine) StatusOf(name string) (st PeerStatus, ok bool) {
	if p, err := e.named(name); err == nil {
		return p.status(), true
	}
	if p := e.peers.byName[name]; p != nil {
		return p.party.status(), true
	}
	return PeerStatus{}, false
}
