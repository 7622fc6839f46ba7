package ike

import (
	"bytes"

	"culvert/ike/wire"
)

// This file decides what two requests that cross on the wire mean (RFC 7296, Sections 2.8.1, 2.8.2 and 2.25), from what is known and nothing else.

// noncePair is the nonces of one CREATE_CHILD_SA exchange.
type noncePair struct{ Ni, Nr []byte }

// lowest is the lower of the two, "octet-by-octet [...] If you reach the end of one nonce, that nonce is the lower one".
func (n noncePair) lowest() []byte {
	if bytes.Compare(n.Ni, n.Nr) < 0 {
		return n.Ni
	}
	return n.Nr
}

// rekeyOutcome says which of two redundant SAs stays after both sides rekeyed the same one, of Child SAs and of IKE SAs alike.
type rekeyOutcome uint8

const (
	// keepOurs: the SA of our own exchange stays and we delete the old one. The peer closes the other.
	keepOurs rekeyOutcome = iota
	// keepTheirs: we close the SA of our own exchange. The peer deletes the old one.
	keepTheirs
)

// compareRekeys decides by the nonces of our own exchange and of the peer's: "the SA created with the lowest of the four nonces used in the two
// exchanges SHOULD be closed by the endpoint that created it". The peer comes to the opposite word, that is, to the same SA.
func compareRekeys(ours, theirs noncePair) rekeyOutcome {
	if bytes.Compare(ours.lowest(), theirs.lowest()) > 0 {
		return keepOurs
	}
	return keepTheirs
}

// ikeActivity is what we ourselves are doing with the IKE SA that a request came on.
type ikeActivity uint8

const (
	ikeQuiet    ikeActivity = iota
	ikeChildren             // our request to create, rekey or close one of its Child SAs is outstanding
	ikeRekeying             // our request to rekey it is outstanding
	ikeReplaced             // it is rekeyed: its successor has the Child SAs, and one side is to delete it
	ikeClosing              // our request to delete it is outstanding
)

// childActivity is what we ourselves are doing with the Child SA that a request names.
type childActivity uint8

const (
	childQuiet    childActivity = iota
	childRekeying               // our request to rekey it is outstanding
	childReplaced               // it is rekeyed, and one side is to delete it
	childClosing                // our request to delete it is outstanding
	childAbsent                 // there is none of that SPI
)

// peerRequest is a request of the peer that may collide with what we do.
type peerRequest uint8

const (
	askCreateChild peerRequest = iota
	askRekeyChild
	askDeleteChild
	askRekeyIKE
	askDeleteIKE
)

// answer is what to answer.
type answer uint8

const (
	answerUsual         answer = iota
	answerAndCompare           // as usual, and compare the nonces when our own exchange ends
	answerTemporary            // TEMPORARY_FAILURE
	answerNotFound             // CHILD_SA_NOT_FOUND
	answerWithoutDelete        // an empty response: the other half is, or will be, deleted by our own request
	answerAndForget            // as usual, and forget our own request on this IKE SA
)

// answerTo decides what to answer. The child activity matters only to requests that name a Child SA.
func answerTo(ask peerRequest, ike ikeActivity, child childActivity) answer {
	switch ask {
	case askRekeyIKE:
		return answerToRekeyIKE(ike)
	case askDeleteIKE:
		return answerToDeleteIKE(ike)
	case askDeleteChild:
		// Also while the IKE SA is rekeyed: "it SHOULD reply as usual, with a Delete payload" (Section 2.25.2).
		if child == childClosing || child == childAbsent {
			return answerWithoutDelete
		}
		return answerUsual
	}
	// "If a peer receives a request to create or rekey a Child SA when it is currently rekeying the IKE SA, it SHOULD reply with
	// TEMPORARY_FAILURE." On one that is closing, a new Child SA would die at birth.
	if ike == ikeRekeying || ike == ikeReplaced || ike == ikeClosing {
		return answerTemporary
	}
	if ask == askRekeyChild {
		return answerToRekeyChild(child)
	}
	return answerUsual
}

// answerToRekeyChild is Section 2.25.1. A replaced SA counts as one that is being closed, whoever is to send the Delete.
func answerToRekeyChild(child childActivity) answer {
	switch child {
	case childRekeying:
		return answerAndCompare
	case childReplaced, childClosing:
		return answerTemporary
	case childAbsent:
		return answerNotFound
	}
	return answerUsual
}

// answerToRekeyIKE is Sections 2.25.1 (last paragraph) and 2.25.2, and for a replaced SA Section 2.8.2: "it SHOULD return TEMPORARY_FAILURE because it
// is an IKE SA that it is currently trying to close (whether or not it has already sent the delete notification for the SA)".
func answerToRekeyIKE(ike ikeActivity) answer {
	switch ike {
	case ikeChildren, ikeReplaced, ikeClosing:
		return answerTemporary
	case ikeRekeying:
		return answerAndCompare
	}
	return answerUsual
}

// answerToDeleteIKE is Section 2.25.2: whatever we were doing on the SA, no answer to it will come any more.
func answerToDeleteIKE(ike ikeActivity) answer {
	if ike == ikeQuiet || ike == ikeReplaced {
		return answerUsual
	}
	return answerAndForget
}

// reaction is what to do when the peer refuses our request to create or rekey an SA.
type reaction uint8

const (
	reactFail     reaction = iota // tell people, and try again at leisure
	reactWait                     // try the same again after a pause
	reactRecreate                 // drop the Child SA without a word and ask for a new one
	reactForget                   // nothing: the peer's own rekeying does what we wanted
	reactCloseIKE                 // both sides disagree on what exists: close the IKE SA
)

// reactTo decides what a refusal of our rekey request means. Overtaken says that the peer rekeyed, or deleted, the same SA meanwhile; tries counts the
// refusals with TEMPORARY_FAILURE in a row, this one with them.
func reactTo(refusal wire.NotifyType, overtaken bool, tries int) reaction {
	switch {
	case refusal == wire.TemporaryFailure && overtaken, refusal == wire.ChildSANotFound && overtaken:
		// "When A receives this error, it already knows there was simultaneous rekeying, so it can ignore the error message."
		return reactForget
	case refusal == wire.TemporaryFailure && tries > temporaryTries:
		// "it SHOULD conclude that the state information is out of sync and close the IKE SA" (Section 2.25).
		return reactCloseIKE
	case refusal == wire.TemporaryFailure:
		return reactWait
	case refusal == wire.ChildSANotFound:
		return reactRecreate
	}
	return reactFail
}
