package ike

import (
	"fmt"
	"slices"
)

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

// mustMove panics if a move is not in the table. That is a bug of ours; a peer cannot cause it.
func mustMove(from, to saState) {
	if !slices.Contains(saMoves[from], to) {
		panic(fmt.Sprintf("ike: internal error: an IKE SA moves from %v to %v", from, to))
	}
}
