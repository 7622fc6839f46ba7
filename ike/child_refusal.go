package ike

import (
	"errors"

	"culvert/ike/child"
	"culvert/ike/reason"
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
		x.fail(s, x.facts(s, kind))
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
			f := x.facts(s, kind)
			x.old.Report(eventPostponed, f.Bare()+"; it is tried again")
		}
		x.wait(s, kind)
	case reactRecreate:
		x.release(s)
		if x.old != nil {
			x.old.Lost(child.EndFailed, "the peer has no such Child SA")
			x.policy.Want()
		}
	case reactReplaceIKE:
		f := x.facts(s, kind)
		why := f.Bare() + ", each time"
		x.fail(s, f)
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
	t := x.facts(s, kind).Trouble()
	switch {
	case s.succ.cannotCarry(kind):
	case (x.moves == nil || x.moves.replaced) && s.party.getsOwn(x.policy, s, kind):
		t.Reason += "; it gets an IKE SA of its own, as the peer may make it in IKE_AUTH only"
	default:
		return false
	}
	x.release(s)
	if x.moves != nil && x.policy.Up() { // by what the other IKE SA has until then
		x.policy.NotMoved(t)
	} else {
		x.policy.PutOff(t)
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
	x.policy.TryIn(pause, x.facts(s, kind).Trouble())
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
	x.old.Answer(reason.Err(x.policy.Trouble, ""))
	if x.old.State() == child.Live && x.old.Carrier() != nil {
		x.old.RekeyIn(timer.Longer(rekeyPause, s.e.cfg.Rand))
	}
}

// unacceptable ends the exchange because its response cannot be used. The peer has installed its
// pair by now, so it is sent a Delete.
func (x *childExchange) unacceptable(s *ikeSA, err error) {
	s.e.count("ike_child_unacceptable")
	spi := x.spi
	f := x.answerFacts(err)
	x.fail(s, f)
	if x.old != nil {
		s.succ.wontLive("rekeying the Child SA failed: " + f.Bare())
	}
	x.postpone(s)
	s.enqueue(&informational{kind: askDelete, spis: []uint32{spi}})
	x.finish(s)
}

func (x *childExchange) failed(s *ikeSA, f reason.Facts) {
	x.fail(s, f)
	x.postpone(s)
	x.finish(s)
}

// facts are the facts of an error that the peer answered.
func (o *childOffer) facts(s *ikeSA, kind wire.NotifyType) reason.Facts {
	if kind == wire.InvalidKEPayload && o.wrongGroup != nil {
		o.wrongGroup.Rekey = o.old != nil
		return *o.wrongGroup
	}
	f := reason.Facts{Cause: reason.Answered, In: wire.CreateChildSA, Answer: kind, Rekey: o.old != nil}
	f.Ours = reason.Offer{Proposals: o.offers, Local: o.local, Remote: o.remote, Raw: s.party.cfg.Encap == EncapNever}
	if o.inAuth {
		f.In = wire.IKEAuth
	}
	switch kind {
	case wire.TSUnacceptable:
		f.Cause = reason.Networks
	case wire.NoProposalChosen, wire.InvalidKEPayload:
		if f.Cause = reason.ESPProposal; o.old != nil { // whose ciphers it accepted
			f.Cause = reason.PFS
		}
	}
	return f
}

// startFacts are the facts of a request that is not made.
func startFacts(err error) reason.Facts {
	f := ownFault(err.Error())
	var hosts *hostsError
	if errors.As(err, &hosts) {
		f.Cause = reason.Mode
	}
	return f
}

// answerFacts are the facts of a response that is not acceptable.
func (o *childOffer) answerFacts(err error) reason.Facts {
	f := reason.Facts{Cause: reason.Unusable, Rekey: o.old != nil, Why: "the peer's answer is not acceptable: " + err.Error()}
	if errors.Is(err, errTransport) || errors.Is(err, errTunnel) {
		f.Cause = reason.Mode
	}
	return f
}
