package ipsec

import (
	"culvert/selector"
)

// EventKind is the kind of an Event.
type EventKind uint8

// The kinds of Event.
const (
	EventAcquire      EventKind = iota // Policy, Flow: a packet matched a policy that has no outbound SA; with a Resource, none of its own
	EventExpire                        // ID, Hard: a byte or packet limit was reached
	EventFirstInbound                  // ID: the first authentic packet came on a new inbound SA
	EventPeerMoved                     // ID, Path: an authentic packet with a new highest number came on another path
	EventUnsent                        // ID, Why: this host refuses to send the pair's packets; reported at most once a second
	EventUnanswered                    // ID: packets are sent for the pair's policy, and none come any more, although they were usual
	EventUnheard                       // ID: packets were sent for the pair's policy for long, and none came
	EventPortBlocked                   // ID, Path, Why: what is sent from our port of Path, a worker's own, does not arrive
	EventProbed                        // ID: the peer asks by a probe whether packets arrive; reported at most once a second
	EventUnknownSPI                    // Path, SPI, Size: ESP came with an SPI that is not in use; reported at a limited rate
	EventProbePath                     // ID, Size: asks for a PathProbe of the pair's path with an outer packet of Size octets
)

// An Event is a report of the dataplane to the control plane. Events are bounded, one of a kind for
// each SA or policy, and are drained after a wake-up.
type Event struct {
	Kind   EventKind
	ID     ChildID
	Hard   bool
	Policy PolicyID
	Flow   selector.Flow
	Path   Path
	Size   int
	SPI    uint32
	Why    Obstacle
	// Resource is the worker, counted from 1, for which an EventAcquire asks for an SA while others
	// exist. With 0 there is no SA at all.
	Resource int
}

// A PathProbe is the answer to an EventProbePath.
type PathProbe struct {
	ID      ChildID
	Size    int // of the request
	Sent    int // octets of the outer packet of the probe: Size or a few less
	Verdict PathVerdict
}

// PathVerdict is the result of a path probe.
type PathVerdict uint8

// Values of PathVerdict.
const (
	PathUnknown PathVerdict = iota // not sent, or without a certain result
	PathPassed
	PathLost // the peer answers other messages, but not the probe
)
