package ike

import (
	"bytes"

	"culvert/ike/wire"
)

// This file decides what requests that cross on the wire mean (RFC 7296, Sections 2.8.1, 2.8.2 and
// 2.25). Its functions depend on their arguments only.

// noncePair holds the nonces of one CREATE_CHILD_SA exchange.
type noncePair struct{ Ni, Nr []byte }

// lowest returns the lower nonce, compared octet by octet. If one is a prefix of the other, it is
// the lower one (RFC 7296, Section 2.8.1).
func (n noncePair) lowest() []byte {
	if bytes.Compare(n.Ni, n.Nr) < 0 {
		return n.Ni
	}
	return n.Nr
}

// rekeyOutcome tells which of two redundant SAs stays after both sides rekeyed the same one. It
// applies to Child SAs and IKE SAs alike.
type rekeyOutcome uint8

const (
	// keepOurs: the SA of our own exchange stays and we delete the old one. The peer closes the
	// other.
	keepOurs rekeyOutcome = iota
	// keepTheirs: we close the SA of our own exchange. The peer deletes the old one.
	keepTheirs
)

// compareRekeys compares the nonces of our exchange with those of the peer's. The SA that was
// created with the lowest of the four nonces is closed by its creator (RFC 7296, Section 2.8.1).
// The peer reaches the mirrored result, so both keep the same SA.
func compareRekeys(ours, theirs noncePair) rekeyOutcome {
	if bytes.Compare(ours.lowest(), theirs.lowest()) > 0 {
		return keepOurs
	}
	return keepTheirs
}

// ikeActivity is what we are doing with the IKE SA that a request came on.
type ikeActivity uint8

const (
	ikeQuiet    ikeActivity = iota
	ikeChildren             // our request to create, rekey or delete one of its Child SAs is outstanding
	ikeRekeying             // our request to rekey it is outstanding
	ikeReplaced             // it is rekeyed: its successor has the Child SAs, and one side will delete it
	ikeClosing              // our request to delete it is outstanding
)

// childActivity is what we are doing with the Child SA that a request names.
type childActivity uint8

const (
	childQuiet    childActivity = iota
	childRekeying               // our request to rekey it is outstanding
	childReplaced               // it is rekeyed, and one side will delete it
	childClosing                // our request to delete it is outstanding
	childAbsent                 // we have no Child SA with that SPI
)

// peerRequest is a request of the peer that may collide with ours.
type peerRequest uint8

const (
	askCreateChild peerRequest = iota
	askRekeyChild
	askDeleteChild
	askRekeyIKE
	askDeleteIKE
)

// answer is how to respond to a request.
type answer uint8

const (
	answerUsual         answer = iota
	answerAndCompare           // as usual, and compare the nonces at the end of our own exchange
	answerTemporary            // TEMPORARY_FAILURE
	answerNotFound             // CHILD_SA_NOT_FOUND
	answerWithoutDelete        // an empty response: our own request deletes the other half
	answerAndForget            // as usual, and abandon our own request on this IKE SA
)

// answerTo returns how to respond. The child activity matters only to requests that name a Child
// SA.
func answerTo(ask peerRequest, ike ikeActivity, child childActivity) answer {
	switch ask {
	case askRekeyIKE:
		return answerToRekeyIKE(ike)
	case askDeleteIKE:
		return answerToDeleteIKE(ike)
	case askDeleteChild:
		// Also while the IKE SA is rekeyed: "it SHOULD reply as usual, with a Delete payload"
		// (Section 2.25.2).
		if child == childClosing || child == childAbsent {
			return answerWithoutDelete
		}
		return answerUsual
	}
	// While we rekey the IKE SA, a request to create or rekey a Child SA gets TEMPORARY_FAILURE
	// (Section 2.25.2). On an IKE SA that is closing, a new Child SA would end at once.
	if ike == ikeRekeying || ike == ikeReplaced || ike == ikeClosing {
		return answerTemporary
	}
	if ask == askRekeyChild {
		return answerToRekeyChild(child)
	}
	return answerUsual
}

// answerToRekeyChild implements Section 2.25.1. A replaced SA counts as one that is being closed,
// by whichever side.
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

// answerToRekeyIKE implements Sections 2.25.1 (last paragraph) and 2.25.2, and for a replaced SA
// Section 2.8.2: "it SHOULD return TEMPORARY_FAILURE because it is an IKE SA that it is currently
// trying to close (whether or not it has already sent the delete notification for the SA)".
func answerToRekeyIKE(ike ikeActivity) answer {
	switch ike {
	case ikeChildren, ikeReplaced, ikeClosing:
		return answerTemporary
	case ikeRekeying:
		return answerAndCompare
	}
	return answerUsual
}

// answerToDeleteIKE implements Section 2.25.2: a request of ours that is outstanding on the SA will
// get no response.
func answerToDeleteIKE(ike ikeActivity) answer {
	if ike == ikeQuiet || ike == ikeReplaced {
		return answerUsual
	}
	return answerAndForget
}

// reaction is what to do when the peer refuses our request to create or rekey an SA.
type reaction uint8

const (
	reactFail       reaction = iota // report the failure, and try again later
	reactWait                       // try the same again after a pause
	reactRecreate                   // drop the Child SA on our side only, and ask for a new one
	reactForget                     // nothing: the peer's own rekeying replaces the SA
	reactReplaceIKE                 // the two sides disagree about which SAs exist: another IKE SA is made
)

// reactTo returns what a refusal of our rekey request means. overtaken: the peer has rekeyed or
// deleted the same SA meanwhile. tries is the number of TEMPORARY_FAILURE responses in a row,
// including this one. pressing: the SA would end soon after another pause, and we can make another
// IKE SA before. A side that cannot has nothing better to do until then than to try again.
func reactTo(refusal wire.NotifyType, overtaken bool, tries int, pressing bool) reaction {
	switch {
	case refusal == wire.TemporaryFailure && overtaken, refusal == wire.ChildSANotFound && overtaken:
		// The error is a consequence of the simultaneous rekeying, and is ignored (Section 2.8.1).
		return reactForget
	case refusal == wire.TemporaryFailure && (tries > temporaryTries || tries > 1 && pressing):
		// "it SHOULD conclude that the state information is out of sync and close the IKE SA"
		// (Section 2.25).
		return reactReplaceIKE
	case refusal == wire.TemporaryFailure:
		return reactWait
	case refusal == wire.ChildSANotFound:
		return reactRecreate
	}
	return reactFail
}

// temporaryTries is how many TEMPORARY_FAILURE responses in a row are accepted: about three minutes
// of timer.TemporaryWait, and twice that of timer.IKETemporaryWait.
const temporaryTries = 72
