package child

import (
	"fmt"
	"slices"
)

// A State is the state of a pair.
type State uint8

// The states of a pair.
const (
	Live      State = iota // in use
	Replaced               // rekeyed or redundant: receives, and sends until its successor does; one side will delete it
	Deleting               // our Delete is queued or outstanding
	Lingering              // deleted on both sides; late packets are still accepted
	Gone
)

var stateNames = [...]string{"live", "replaced", "deleting", "lingering", "gone"}

func (s State) String() string { return stateNames[s] }

// Usable reports whether packets may be sent on the pair.
func (s State) Usable() bool { return s == Live || s == Replaced }

// Ended reports whether the pair is deleted on our side.
func (s State) Ended() bool { return s == Lingering || s == Gone }

// moves lists every legal move of a pair. A replaced pair becomes live again if its successor is
// deleted first.
var moves = [...][]State{
	Live:      {Replaced, Deleting, Lingering, Gone},
	Replaced:  {Live, Deleting, Lingering, Gone},
	Deleting:  {Lingering, Gone},
	Lingering: {Gone},
	Gone:      nil,
}

// moveTo is the one setter of the state. It panics if the move is not in the table. That is a bug
// of ours; a peer cannot cause it.
func (p *Pair) moveTo(to State) {
	if !slices.Contains(moves[p.state], to) {
		panic(fmt.Sprintf("child: internal error: a Child SA moves from %v to %v", p.state, to))
	}
	p.state = to
	if p.carrier != nil {
		p.policy.owner.Touch()
	}
}

// A Cause is why a pair or its carrier ended. It decides what happens next.
type Cause uint8

// The causes of an end.
const (
	EndLocal     Cause = iota // we ended it: Disconnect, reload, shutdown
	EndPeer                   // the peer deleted it
	EndDead                   // the peer does not answer
	EndExpired                // its hard lifetime is over
	EndReplaced               // another one took over
	EndRestarted              // the peer restarted, and has lost it
	EndMoved                  // our address changed, and the peer did not follow
	EndFailed                 // it never came up, or an error ended it
)
