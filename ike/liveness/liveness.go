// Package liveness decides when the peer of an IKE SA has to show that it is alive, and when a
// NAT's mapping has to be refreshed (RFC 7296, Sections 2.4, 2.21.4 and 2.23; RFC 3948, Section 4).
//
// A Monitor works on times only. It knows no exchange and no packet, sets no timer and sends
// nothing: its owner tells it what was sent and received, looks at it when Next says, and does what
// is due.
//
// What is due depends on when packets were last seen on the Child SAs, which only the dataplane
// knows. So a look has two steps. Ask begins it: the owner asks for the traffic of every Child SA.
// When Answered reports that all answers have come, Due decides.
package liveness

import (
	"iter"
	"time"
)

const (
	// KeepaliveInterval is the default of RFC 3948, Section 4.
	KeepaliveInterval = 20 * time.Second
	// HintInterval is the least time between two checks that unprotected messages cause (RFC 7296,
	// Section 2.21.4).
	HintInterval = 10 * time.Second
	// underWay is how old a message may be when it comes. One that comes so soon after a hint may
	// have been sent before what the hint is about.
	underWay = time.Second
	// ProofTime is how long a peer that was told of our new address has to show that it follows.
	ProofTime = 2 * time.Second
	// ProofBefore is how recent, before it was told, its traffic must have been for a lack of it to
	// mean anything.
	ProofBefore = 10 * time.Second
)

// Rules are what the configuration, the path and the state of an IKE SA ask for. They may differ
// from call to call.
type Rules struct {
	DPD         time.Duration // silence after which the peer must show that it is alive; 0: never
	Idle        bool          // the peer must show that it is alive also while nothing is sent
	KeepMapping bool          // we are behind a NAT, and it is ours to keep its mapping
	Replaceable bool          // another IKE SA can be made in place of a peer that does not follow us
}

// Traffic is when packets were last seen on a Child SA, in each direction; zero: never.
type Traffic struct {
	In, Out time.Time
	// OtherPorts reports that Out may have left by another port than IKE, whose mapping it then did
	// not keep.
	OtherPorts bool
}

// A Due is something that the owner of a Monitor has to do.
type Due uint8

const (
	Keepalive Due = iota // send a NAT keepalive; it counts as sent
	Probe                // make the peer answer: only outgoing traffic was seen
	GiveUp               // end the IKE SA: the peer does not send to our new address
)

func (d Due) String() string { return [...]string{"keepalive", "probe", "give up"}[d] }

// A Monitor holds what is known about the peer of one IKE SA. ID names a Child SA. The zero value
// has heard nothing. It is not safe for concurrent use.
type Monitor[ID comparable] struct {
	received time.Time   // last fresh authentic IKE message
	sent     time.Time   // last IKE message or keepalive
	asked    map[ID]bool // Child SAs whose traffic was asked for, and has not come
	hinted   time.Time   // last check because of an unprotected message
	doubted  bool        // since then, nothing authentic was received
	told     time.Time   // when a peer that need not follow us was told of our address; zero: no proof is awaited
}

// Sent notes that an IKE message was sent.
func (m *Monitor[ID]) Sent(now time.Time) { m.sent = now }

// LastSent returns when something was last sent to the peer; zero: never.
func (m *Monitor[ID]) LastSent() time.Time { return m.sent }

// LastReceived returns when something authentic last came; zero: never.
func (m *Monitor[ID]) LastReceived() time.Time { return m.received }

// Received notes a fresh authentic IKE message. It ends a doubt.
func (m *Monitor[ID]) Received(now time.Time) { m.received, m.doubted = now, false }

// Requested notes a fresh authentic request of the peer's, and reports whether it shows that the
// peer still has the IKE SA. It does unless it may have been under way when a hint came.
func (m *Monitor[ID]) Requested(now time.Time) bool {
	if m.doubted && now.Sub(m.hinted) < underWay {
		return false
	}
	m.Received(now)
	return true
}

// Responded notes a fresh authentic response to a request that was first sent at asked, and reports
// whether it shows that the peer still has the IKE SA: one to a request from before a hint may have
// been under way as well.
func (m *Monitor[ID]) Responded(now, asked time.Time) bool {
	if asked.Before(m.hinted) {
		return m.Requested(now)
	}
	m.Received(now)
	return true
}

// Inherit takes over when messages were sent and received on the IKE SA that this one replaces.
func (m *Monitor[ID]) Inherit(old *Monitor[ID]) { m.received, m.sent = old.received, old.sent }

// Hinted notes an unprotected message which claims that the peer has lost the IKE SA. Anybody can
// send one. It reports whether the peer is to be probed; then it is doubted until it is heard.
func (m *Monitor[ID]) Hinted(now time.Time) bool {
	if now.Sub(m.hinted) < HintInterval {
		return false
	}
	m.hinted, m.doubted = now, true
	return true
}

// Doubted reports whether an unprotected message claims that the peer has lost the IKE SA, and
// nothing authentic was received since.
func (m *Monitor[ID]) Doubted() bool { return m.doubted }

// Vouched reports whether the last check because of an unprotected message is recent, and the peer
// has shown by it that it has the IKE SA.
func (m *Monitor[ID]) Vouched(now time.Time) bool {
	return !m.doubted && now.Sub(m.hinted) < HintInterval
}

// Told notes that the peer answered from our new address, although it need not follow us there: its
// traffic has to show within ProofTime whether it does.
func (m *Monitor[ID]) Told(now time.Time) { m.told = now }

// Next returns when the Monitor is to be looked at, by Ask; zero: not before something changes.
func (m *Monitor[ID]) Next(now time.Time, r Rules, seen iter.Seq[Traffic]) time.Time {
	var at time.Time
	if r.DPD > 0 {
		at = m.lastReceived(seen).Add(r.DPD)
		if !at.After(now) {
			at = now.Add(r.DPD)
		}
	}
	if !m.told.IsZero() {
		at = earliest(at, m.told.Add(ProofTime))
	}
	if r.KeepMapping {
		at = earliest(at, m.lastSent(seen).Add(KeepaliveInterval))
	}
	return at
}

// earliest returns the earlier of two moments; zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// Ask begins a look: the owner asks for the traffic of the Child SAs named. It returns when to look
// again if not all answers come, and reports whether Due is to decide at once, as there is nothing
// to ask. Answers to an earlier look that are missing no longer count.
func (m *Monitor[ID]) Ask(now time.Time, ids iter.Seq[ID]) (again time.Time, decide bool) {
	m.asked = map[ID]bool{}
	for id := range ids {
		m.asked[id] = true
	}
	return now.Add(KeepaliveInterval), m.complete()
}

// Answered notes that the traffic of a Child SA has come. It reports whether Due is to decide: this
// was the last answer of a look.
func (m *Monitor[ID]) Answered(id ID) (decide bool) {
	if !m.asked[id] {
		return false
	}
	delete(m.asked, id)
	return m.complete()
}

// complete reports whether all answers of a look have come.
func (m *Monitor[ID]) complete() bool {
	if len(m.asked) > 0 {
		return false
	}
	m.asked = nil // most IKE SAs are idle most of the time
	return true
}

// Due returns what is to be done now that the traffic is known, in this order. What it returns is
// noted as done, except for a probe: the response ends the silence, or the IKE SA.
func (m *Monitor[ID]) Due(now time.Time, r Rules, seen iter.Seq[Traffic]) []Due {
	if m.deserted(now, seen) && r.Replaceable {
		return []Due{GiveUp}
	}
	var due []Due
	if r.KeepMapping && now.Sub(m.lastSent(seen)) >= KeepaliveInterval {
		m.Sent(now)
		due = append(due, Keepalive)
	}
	if m.Silent(now, r, seen) {
		due = append(due, Probe)
	}
	return due
}

// Silent reports whether only outgoing traffic was seen for the DPD interval, in which case the
// peer must show that it is alive (RFC 7296, Section 2.4). An IKE SA that is idle in both
// directions is silent only by the rule Idle.
func (m *Monitor[ID]) Silent(now time.Time, r Rules, seen iter.Seq[Traffic]) bool {
	last := m.lastReceived(seen)
	if r.DPD <= 0 || now.Sub(last) < r.DPD {
		return false
	}
	for t := range seen {
		if t.Out.After(last) {
			return true
		}
	}
	return r.Idle
}

// deserted reports, once after a move of ours, that the peer's traffic has ended with it: some came
// within ProofBefore of the move, ours goes on, and none comes any more.
func (m *Monitor[ID]) deserted(now time.Time, seen iter.Seq[Traffic]) bool {
	told := m.told
	if told.IsZero() || now.Sub(told) < ProofTime {
		return false
	}
	m.told = time.Time{}
	ended := false
	for t := range seen {
		if t.In.After(told) {
			return false
		}
		ended = ended || t.Out.Sub(told) > ProofTime/2 && told.Sub(t.In) < ProofBefore
	}
	return ended
}

// lastSent returns when something was last sent to the peer from the port of IKE, as far as is
// known.
func (m *Monitor[ID]) lastSent(seen iter.Seq[Traffic]) time.Time {
	last := m.sent
	for t := range seen {
		if !t.OtherPorts && t.Out.After(last) {
			last = t.Out
		}
	}
	return last
}

// lastReceived returns when something authentic was last received, as far as is known.
func (m *Monitor[ID]) lastReceived(seen iter.Seq[Traffic]) time.Time {
	last := m.received
	for t := range seen {
		if t.In.After(last) {
			last = t.In
		}
	}
	return last
}
