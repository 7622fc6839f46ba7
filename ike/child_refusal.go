package ike

import (
	"errors"
	"fmt"

	"culvert/ike/child"
	"culvert/ike/proposal"
	"culvert/ike/timer"
	"culvert/ike/wire"
)

// refused reacts to an error response.
func (x *childExchange) refused(s *ikeSA, kind wire.NotifyType) {
	switch {
	case x.askForLess(s, kind):
		return
	case x.further():
		x.refusedFurther(s, kind)
	case x.part():
		x.refusedPart(s, kind)
	case x.like != nil:
		x.fail(s, refusalText(kind), nil)
	default:
		x.refusedMain(s, kind)
		return
	}
	x.finish(s)
}

// refusedMain is refused for a pair of the policy's main chain.
func (x *childExchange) refusedMain(s *ikeSA, kind wire.NotifyType) {
	overtaken, tries, pressing := false, 0, false
	if x.old != nil {
		overtaken = x.old.State() != child.Live || negotiated(x.old).crossing != nil
		tries, pressing = x.old.Refused(), x.old.Presses() && s.party.canConnect()
	} else {
		tries = x.policy.Refused()
	}
	switch reactTo(kind, overtaken, tries, pressing) {
	case reactForget:
		x.release(s)
		x.acceptPeers()
	case reactWait:
		x.release(s)
		if x.old != nil && tries == 1 {
			x.old.Report(eventPostponed, refusalText(kind)+"; it is tried again")
		}
		x.wait(s, kind)
	case reactRecreate:
		x.release(s)
		if x.old != nil {
			x.old.Lost(child.EndFailed, "the peer has no such Child SA")
			x.policy.Want()
		}
	case reactReplaceIKE:
		why := refusalText(kind) + " each time"
		x.fail(s, why, nil)
		x.postpone(s)
		x.finish(s)
		s.succ.outOfSync("negotiating the Child SA failed: " + why)
		return
	default:
		if x.old == nil && x.putOff(s, kind) {
			break
		}
		x.childOffer.refused(s, kind)
		x.postpone(s)
	}
	x.finish(s)
}

// childUnanswered is called when the peer has not answered a request of CREATE_CHILD_SA for long.
// The IKE SA cannot be kept.
func (s *ikeSA) childUnanswered() {
	if x, ok := s.work.Current().(*childExchange); ok {
		x.unheard = true
	}
	const why = "the peer does not answer CREATE_CHILD_SA"
	if !s.auth.notByItself(why) {
		s.succ.wontLive(why)
	}
}

// putOff has the policy wait for another IKE SA, and reports whether it does.
func (x *childExchange) putOff(s *ikeSA, kind wire.NotifyType) bool {
	text := refusalText(kind)
	switch {
	case s.succ.cannotCarry(kind):
	case (x.moves == nil || x.moves.replaced) && s.party.getsOwn(x.policy, s, kind):
		text += "; it gets an IKE SA of its own, as the peer may make it in IKE_AUTH only"
	default:
		return false
	}
	x.release(s)
	if x.moves != nil && x.policy.Up() { // by what the other IKE SA has until then
		x.policy.NotMoved(text)
	} else {
		x.policy.PutOff(text, x.explain(kind))
	}
	return true
}

// wait schedules another try after a pause, as TEMPORARY_FAILURE demands (RFC 7296, Section 2.25).
func (x *childExchange) wait(s *ikeSA, kind wire.NotifyType) {
	pause := timer.TemporaryWait(s.e.cfg.Rand)
	switch {
	case x.old != nil:
		x.old.RekeyIn(pause)
		return
	case x.moves != nil:
		x.moves.later(x.policy)
		return
	}
	x.policy.TryIn(pause, refusalText(kind))
}

// rekeyPause is the least pause between a failed rekeying and the next try.
const rekeyPause = 10 * timer.TemporaryPause

// postpone schedules the next try of a rekeying that failed.
func (x *childExchange) postpone(s *ikeSA) {
	if x.old == nil {
		return
	}
	if x.crossed() {
		x.acceptPeers()
		return
	}
	x.old.Answer(errors.New(x.policy.Reason))
	if x.old.State() == child.Live && x.old.Carrier() != nil {
		x.old.RekeyIn(timer.Longer(rekeyPause, s.e.cfg.Rand))
	}
}

// unacceptable ends the exchange because its response cannot be used. The peer has installed its
// pair by now, so it is sent a Delete.
func (x *childExchange) unacceptable(s *ikeSA, why string) {
	s.e.count("ike_child_unacceptable")
	spi := x.spi
	x.fail(s, "the peer's answer is not acceptable: "+why, nil)
	if x.old != nil {
		s.succ.wontLive("rekeying the Child SA failed: the peer's answer is not acceptable: " + why)
	}
	x.postpone(s)
	s.enqueue(&informational{kind: askDelete, spis: []uint32{spi}})
	x.finish(s)
}

func (x *childExchange) failed(s *ikeSA, why string, explain []string) {
	x.fail(s, why, explain)
	x.postpone(s)
	x.finish(s)
}

// refusalText describes an error response.
func refusalText(kind wire.NotifyType) string {
	text := fmt.Sprintf("the peer answered %v", kind)
	switch kind {
	case wire.TSUnacceptable:
		text += ": its traffic selectors do not overlap with ours"
	case wire.SinglePairRequired:
		text += ": it makes a Child SA for a single pair of addresses only, those of a packet"
	case wire.NoProposalChosen:
		text += ": it accepts none of our ESP proposals"
	}
	return text
}

// explain returns lines with what both sides want, as far as it is known.
func (o *childOffer) explain(kind wire.NotifyType) []string {
	switch kind {
	case wire.TSUnacceptable:
		return []string{"ours: local " + child.ListSelectors(o.local) + ", remote " + child.ListSelectors(o.remote), "theirs: unknown; see the peer's log"}
	case wire.NoProposalChosen:
		return []string{"ours: " + proposal.List(o.offers), "theirs: unknown; see the peer's log"}
	}
	return nil
}
