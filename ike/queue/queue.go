// Package queue orders the exchanges that one side initiates on an IKE SA: at most one is current,
// the others wait for it to end. Of requests that wait for their responses there is one at a time,
// since the window has the size one (RFC 7296, Section 2.3).
//
// A Queue starts nothing: its owner takes the next exchange from it when the IKE SA allows one, and
// reports the end of each. The package knows neither what an exchange is nor what it sends.
package queue

import "slices"

// A Queue holds the current exchange of an IKE SA and those that wait. X is the type of an
// exchange; its zero value stands for none. The zero value of a Queue is empty. It is not safe for
// concurrent use.
type Queue[X comparable] struct {
	current X
	waiting []X
}

// Current returns the exchange under way, or the zero value.
func (q *Queue[X]) Current() X { return q.current }

// Busy reports whether an exchange is under way.
func (q *Queue[X]) Busy() bool {
	var none X
	return q.current != none
}

// Waiting returns the number of exchanges that wait.
func (q *Queue[X]) Waiting() int { return len(q.waiting) }

// Idle reports whether nothing is under way and nothing waits.
func (q *Queue[X]) Idle() bool { return !q.Busy() && len(q.waiting) == 0 }

// Awaits reports whether an exchange that waits matches. The current one is not asked.
func (q *Queue[X]) Awaits(match func(X) bool) bool { return slices.ContainsFunc(q.waiting, match) }

// Add puts exchanges behind those that wait.
func (q *Queue[X]) Add(xs ...X) { q.waiting = append(q.waiting, xs...) }

// AddUrgent puts an exchange in front of those that wait. It does not displace the current one.
func (q *Queue[X]) AddUrgent(x X) { q.waiting = slices.Insert(q.waiting, 0, x) }

// Next makes the first exchange that waits the current one, and returns it. It reports false if one
// is under way or none waits.
func (q *Queue[X]) Next() (x X, ok bool) {
	if q.Busy() || len(q.waiting) == 0 {
		return x, false
	}
	q.current = q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1) // an idle queue keeps no exchange in memory
	return q.current, true
}

// Replace makes x the current exchange without a turn in the queue, in place of the one under way,
// if there is one. The exchanges that set an IKE SA up follow one another so.
func (q *Queue[X]) Replace(x X) { q.current = x }

// Done ends the current exchange. It reports false, and changes nothing, if x is not the current
// one: it was replaced or abandoned before.
func (q *Queue[X]) Done(x X) bool {
	if !q.Busy() || q.current != x {
		return false
	}
	var none X
	q.current = none
	return true
}

// TakeWaiting empties the queue behind the current exchange, and returns what waited, in order.
func (q *Queue[X]) TakeWaiting() []X {
	waiting := q.waiting
	q.waiting = nil
	return waiting
}

// Take empties the queue, and returns what it held: the current exchange first, if there is one,
// then those that waited, in order.
func (q *Queue[X]) Take() []X {
	var all []X
	if q.Busy() {
		all = append(all, q.current)
	}
	all = append(all, q.waiting...)
	*q = Queue[X]{}
	return all
}
