package esp

import (
	"net/netip"

	"culvert/selector"
)

// EventKind says what the dataplane has to tell the control plane.
type EventKind uint8

// The kinds of Event.
const (
	EventAcquire      EventKind = iota // Policy, Flow: a packet matched a policy that has no outbound SA; with a Resource, none of its own
	EventExpire                        // ID, Hard: a byte or packet limit was reached
	EventFirstInbound                  // ID: the first authentic packet came on a new inbound SA
	EventPeerMoved                     // ID, Remote: an authentic packet with a new highest sequence number came from another outer address
	EventSourceGone                    // ID: the system has no route from the pair's local address
	EventProbePath                     // ID, Size: does an outer packet of so many octets pass on the pair's path? PathProbe answers
)

// Event is one thing that the dataplane tells the control plane. Events are kept bounded, one of a kind for each SA or policy,
// and drained after a wake-up.
type Event struct {
	Kind   EventKind
	ID     ChildID
	Hard   bool
	Policy Policy
	Flow   selector.Flow
	Remote netip.AddrPort
	Size   int
	// Resource is the worker, counted from 1, that an Acquire asks an SA of its own for: it has others to send on. 0: there is no SA at all.
	Resource int
}

// PathProbe is what became of an EventProbePath: its answer.
type PathProbe struct {
	ID      ChildID
	Size    int // that was asked
	Sent    int // octets of the outer packet that it was tried with, Size or a few less
	Verdict PathVerdict
}

// PathVerdict is what a probe of a path has shown.
type PathVerdict uint8

// Values of PathVerdict.
const (
	PathUnknown PathVerdict = iota // it could not be sent, or what became of it is not certain
	PathPassed
	PathLost // the peer answers, but not to that
)
