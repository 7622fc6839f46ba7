package ike

import "fmt"

// saState is the state of an IKE SA.
type saState uint8

const (
	saEmbryo         saState = iota // a successor: it has our SPI and no keys yet
	saConnecting                    // initiator: IKE_SA_INIT under way
	saAuthenticating                // initiator: IKE_AUTH under way
	saHalfOpen                      // responder: IKE_AUTH has not yet succeeded
	saEstablished
	saRekeyed // its successor has the Child SAs; one side will delete it
	saClosing // our Delete is queued or outstanding
	saDead    // ended, but a copy of the last request is still answered
	saGone
)

var saStateNames = [...]string{"embryo", "connecting", "authenticating", "half-open", "established", "rekeyed", "closing", "dead", "gone"}

func (s saState) String() string { return saStateNames[s] }

// beforeAuth reports whether the peer is not yet authenticated.
func (s saState) beforeAuth() bool {
	return s == saEmbryo || s == saConnecting || s == saAuthenticating || s == saHalfOpen
}

// authenticated reports whether exchanges other than those of the setup may be under way.
func (s saState) authenticated() bool {
	return s == saEstablished || s == saRekeyed || s == saClosing
}

// ending reports whether the IKE SA is being deleted, or has ended.
func (s saState) ending() bool { return s == saClosing || s.ended() }

// ended reports whether the IKE SA has ended on our side.
func (s saState) ended() bool { return s == saDead || s == saGone }

// saMoves lists every legal move of an IKE SA.
var saMoves = [...][]saState{
	saEmbryo:         {saEstablished, saGone},
	saConnecting:     {saAuthenticating, saGone},
	saAuthenticating: {saEstablished, saClosing, saDead, saGone},
	saHalfOpen:       {saEstablished, saDead, saGone},
	saEstablished:    {saRekeyed, saClosing, saDead, saGone},
	saRekeyed:        {saClosing, saDead, saGone},
	saClosing:        {saDead, saGone},
	saDead:           {saGone},
	saGone:           nil,
}

// pairState is the state of a Child SA pair.
type pairState uint8

const (
	pairLive      pairState = iota // in use
	pairReplaced                   // rekeyed or redundant: receives, and sends until its successor does; one side will delete it
	pairDeleting                   // our Delete is queued or outstanding
	pairLingering                  // deleted on both sides; late packets are still accepted
	pairGone
)

var pairStateNames = [...]string{"live", "replaced", "deleting", "lingering", "gone"}

func (p pairState) String() string { return pairStateNames[p] }

// usable reports whether packets may be sent on the pair.
func (p pairState) usable() bool { return p == pairLive || p == pairReplaced }

// ended reports whether the pair is deleted on our side.
func (p pairState) ended() bool { return p == pairLingering || p == pairGone }

// pairMoves lists every legal move of a Child SA pair. A replaced pair becomes live again if its
// successor is deleted first.
var pairMoves = [...][]pairState{
	pairLive:      {pairReplaced, pairDeleting, pairLingering, pairGone},
	pairReplaced:  {pairLive, pairDeleting, pairLingering, pairGone},
	pairDeleting:  {pairLingering, pairGone},
	pairLingering: {pairGone},
	pairGone:      nil,
}

// mustMove panics if a move is not in the table. That is a bug of ours; a peer cannot cause it.
func mustMove[S interface {
	comparable
	fmt.Stringer
}](what string, from, to S, legal []S) {
	for _, s := range legal {
		if s == to {
			return
		}
	}
	panic(fmt.Sprintf("ike: internal error: %s moves from %v to %v", what, from, to))
}
