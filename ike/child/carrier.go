package child

import (
	"io"
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// A Carrier is the SA that negotiates pairs and carries the messages about them: an IKE SA. One
// protocol's pairs need nothing else of it, so another protocol's SA can carry them as well.
//
// A Carrier makes a pair with Table.Install and then calls Pair.UseNow or Pair.UseSoon. When it
// ends it calls Bundle.Lost, or hands its pairs to a successor by Bundle.HandOver.
type Carrier interface {
	// Children returns the carrier's pairs.
	Children() *Bundle
	// Established reports whether its pairs can be rekeyed now.
	Established() bool
	// Ending reports whether it is being deleted, or has ended: its pairs end with it.
	Ending() bool
	// Rekey negotiates a pair in place of p, at once or when its turn comes. Whatever the outcome,
	// Pair.RekeyEnded is called at the end.
	Rekey(p *Pair)
	// Request negotiates the first pair of a chain for a single resource, likewise.
	// Chain.RequestEnded is called at the end.
	Request(l *Chain)
	// Delete tells the peer that the pair is deleted, and calls Pair.Lost with the same arguments
	// as soon as the peer has it, or at once if the protocol has no response.
	Delete(p *Pair, cause Cause, why string)
}

// An Origin is the negotiation that made a pair, as the carrier's protocol knows it.
type Origin interface {
	// Proven reports whether the peer has shown since that it has the pair. It is asked about pairs
	// that the peer requested.
	Proven() bool
	// Crossed reports whether the peer itself is replacing the pair, or has replaced it.
	Crossed() bool
	// Outlasts reports which of two pairs for the same purpose stays, of which each side asked for
	// one at the same time. Both sides must come to the same result.
	Outlasts(other Origin) bool
	// Revived tells that the pair is in use again, because what replaced it is gone.
	Revived()
}

// An Owner is the party at the other end, to which a policy belongs.
type Owner interface {
	// Carrier returns the carrier for new pairs, or nil.
	Carrier() Carrier
	// Touch has the owner look at its policies before the current input is handled.
	Touch()
	// Closed reports whether nothing may be started for it any more.
	Closed() bool
	// Pausing reports whether there is no carrier and none will be tried for a while.
	Pausing() bool
	// Awaited reports whether a command waits for the policy.
	Awaited(pol *Policy) bool
	// GaveUp answers the commands that wait for the policy.
	GaveUp(pol *Policy, err error)
	// Networks returns the selectors of the policy's entry in the SPD.
	Networks(pol *Policy) (local, remote []selector.Selector)
	// WhenDead returns what to do with a policy whose peer does not answer any more: IntentUp to
	// bring it up again, or the least intent that it has from then on.
	WhenDead() Intent
	// Backoff returns the pauses between tries to bring a policy up.
	Backoff() timer.Backoff
	// Report gives notice of an event.
	Report(r Report)
}

// A Report is an event for people and logs.
type Report struct {
	Policy *Policy
	Pair   *Pair // nil: the policy as a whole
	Warn   bool
	Event  string // a fixed word, such as "child-up"
	Text   string // "": the Trouble has it
	Trouble
}

// A Host is the engine around the pairs.
type Host interface {
	Plane
	Now() time.Time
	Timers() *timer.Heap
	Rand() io.Reader
	// Workers returns the number of the dataplane's workers.
	Workers() int
	// Done answers a command.
	Done(ref uint64, err error)
}

// A Plane is the dataplane as pairs need it. The effects take place in the order of the calls.
type Plane interface {
	// InstallInbound adds a pair and accepts packets on it. It takes the keys over.
	InstallInbound(sa ipsec.ChildSA)
	// ActivateOutbound makes the policy, or the worker, send on the pair.
	ActivateOutbound(id ipsec.ChildID)
	// DeactivateOutbound stops sending on the pair.
	DeactivateOutbound(id ipsec.ChildID)
	// RemoveSA removes the pair and frees its SPI.
	RemoveSA(id ipsec.ChildID)
	// NeedTraffic asks for a call of Pair.Saw.
	NeedTraffic(id ipsec.ChildID)
	// AcquireFailed drops the packets that wait for the policy.
	AcquireFailed(policy ipsec.PolicyID)
}
