package child

import (
	"slices"
	"time"

	"culvert/ike/identity"
	"culvert/ike/reason"
	"culvert/ike/timer"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// A Policy is one configured child of a party: what should be up, and what is. Its owner starts the
// negotiation of a pair when the policy is due, and calls Begin first.
type Policy struct {
	// LastGroup is the key exchange on which the last CREATE_CHILD_SA for the policy agreed; nil
	// before the first one.
	LastGroup *wire.TransformID
	ID        ipsec.PolicyID
	Name      ipsec.PolicyName
	Settings  Settings
	table     *Table
	owner     Owner
	base      Intent
	want      bool           // it should be up now
	asked     bool           // by a command, which still holds
	restart   bool           // it ended without anybody's command, and is tried until the peer answers
	flow      *selector.Flow // of the packet that triggered it
	closed    bool           // no longer configured: its pairs end
	held      bool           // an operator holds it down
	busy      bool           // our negotiation for it is queued or under way
	main      Chain
	more      []*Chain // for single resources and for parts
	group     group
	// lingering are the deleted pairs whose inbound half still accepts packets.
	lingering []*Pair
	narrow    bool   // its pairs carry less than its networks
	told      *grant // what the last notice about that was of
	partRefusals
	required granularity // by the peer, which refused more in one Child SA
	rest     rest
	retry    Retry
	Trouble
	rekeys   int
	refusals int // TEMPORARY_FAILURE responses, in a row
}

// An Intent is what to do with a policy that is down.
type Intent uint8

// Intents, the strongest first.
const (
	IntentUp      Intent = iota // bring it up
	IntentTraffic               // wait for traffic
	IntentDown                  // leave it down
)

// A Retry is the back-off after failures.
type Retry struct {
	Fails int
	At    time.Time // time of the next try; zero: at once
	Timer timer.Timer

	prompted time.Time // the last loss after which the first try came at once
}

// Trouble is why something is down.
type Trouble = reason.Trouble

// NewPolicy returns a policy without pairs.
func NewPolicy(t *Table, owner Owner, id ipsec.PolicyID, name ipsec.PolicyName, settings Settings) *Policy {
	pol := &Policy{ID: id, Name: name, Settings: settings, table: t, owner: owner, base: intentOf(settings.Start)}
	pol.main.policy = pol
	pol.want = pol.base == IntentUp
	pol.retry.Timer.Fire, pol.rest.timer.Fire = owner.Touch, pol.askRestAgain
	return pol
}

func intentOf(m StartMode) Intent {
	switch m {
	case StartBoot:
		return IntentUp
	case StartNever:
		return IntentDown
	}
	return IntentTraffic
}

// Owner returns the party that the policy belongs to.
func (pol *Policy) Owner() Owner { return pol.owner }

// Base returns what to do with the policy when it is down.
func (pol *Policy) Base() Intent { return pol.base }

// Wanted reports whether the policy should be up now.
func (pol *Policy) Wanted() bool { return pol.want && !pol.held }

// Want asks for the policy, because its pair turned out to be gone.
func (pol *Policy) Want() { pol.want = true }

// Busy reports whether our negotiation for the policy is queued or under way.
func (pol *Policy) Busy() bool { return pol.busy }

// Flow returns the packet that triggered the policy, or nil.
func (pol *Policy) Flow() *selector.Flow { return pol.flow }

// NextTry returns when the next negotiation may start; zero: at once.
func (pol *Policy) NextTry() time.Time { return pol.retry.At }

// Rekeys returns the number of rekeyings of the policy's pairs.
func (pol *Policy) Rekeys() int { return pol.rekeys }

// Up reports whether packets of the policy can be sent, and will remain so: a pair on a carrier
// that is being closed does not count.
func (pol *Policy) Up() bool {
	has := func(l *Chain) bool {
		return slices.ContainsFunc(l.pairs, func(p *Pair) bool { return p.state.Usable() && !p.carrier.Ending() })
	}
	return has(&pol.main) || slices.ContainsFunc(pol.more, has)
}

// Sends reports whether packets of the policy are sent, and will remain so (Up).
func (pol *Policy) Sends() bool { return pol.Sender() != nil }

// Sender returns a pair that packets of the policy are sent on, and will remain so, or nil.
func (pol *Policy) Sender() *Pair {
	list := pol.Pairs()
	if i := slices.IndexFunc(list, (*Pair).sends); i >= 0 {
		return list[i]
	}
	return nil
}

// Senders returns all such pairs.
func (pol *Policy) Senders() []*Pair {
	return slices.DeleteFunc(pol.Pairs(), func(p *Pair) bool { return !p.sends() })
}

// sends reports whether packets are sent on the pair, and will be.
func (p *Pair) sends() bool {
	return p.outbound != outInactive && p.state.Usable() && !p.carrier.Ending()
}

// Due reports whether a negotiation for it should start now.
func (pol *Policy) Due() bool {
	return pol.Wanted() && !pol.busy && !pol.Up() && !pol.table.host.Now().Before(pol.retry.At)
}

// Begin records that our negotiation for the policy's main chain is queued or starts.
func (pol *Policy) Begin() { pol.busy = true }

// Settled records that no negotiation of ours for the policy's main chain is under way any more.
func (pol *Policy) Settled() { pol.busy = false }

// installed records that a pair was installed for it.
func (pol *Policy) installed() {
	pol.retry.Fails, pol.refusals, pol.retry.At = 0, 0, time.Time{}
	pol.Trouble = Trouble{}
	pol.flow = nil
	pol.want, pol.restart = true, false
	pol.raise()
	pol.table.stop(&pol.retry.Timer)
}

// lost records that its last pair is gone.
func (pol *Policy) lost(cause Cause, why string) {
	pol.Trouble = Trouble{Reason: why}
	pol.askPartsAgain()
	pol.report("child-down", "Child SA ended: "+why)
	least := pol.owner.WhenDead()
	if cause == EndDead {
		pol.settle(least)
	}
	// What was taken down is not wanted any more; what traffic asks for waits for traffic.
	pol.restart = pol.want && (cause == EndExpired && pol.base == IntentDown || (cause == EndDead || cause == EndRestarted) && least == IntentUp)
	// A command or a packet may have asked for it again during the deletion.
	asked := pol.flow != nil || pol.owner.Awaited(pol)
	pol.want = pol.base == IntentUp || cause == EndMoved && pol.want || pol.restart || pol.want && asked
	if pol.base == IntentUp && (cause == EndPeer || cause == EndFailed) {
		pol.pause(pol.pauseAfterLoss())
	}
	pol.owner.Touch()
}

// settle sets what to do with the policy after the death of the peer: no more than least. What a
// command asked for is then as it is configured.
func (pol *Policy) settle(least Intent) {
	if least != IntentUp && pol.asked {
		pol.base, pol.asked = intentOf(pol.Settings.Start), false
	}
	pol.base = max(least, pol.base)
}

// promptInterval is the least time between two losses after which the policy is tried at once.
const promptInterval = 10 * time.Second

// pauseAfterLoss returns when to try again after the peer deleted the last pair. It may only
// restart, so the first try comes at once. But it may have had a reason: a pause then keeps the two
// sides from creating and deleting a pair without end.
func (pol *Policy) pauseAfterLoss() time.Duration {
	now, rand := pol.table.host.Now(), pol.table.host.Rand()
	if !pol.retry.prompted.IsZero() && now.Sub(pol.retry.prompted) < promptInterval {
		return pol.owner.Backoff().Pause(1, rand)
	}
	pol.retry.prompted = now
	return timer.PromptPause(rand)
}

// pause sets the time of the next try.
func (pol *Policy) pause(d time.Duration) {
	pol.retry.At = pol.table.host.Now().Add(d)
	pol.table.host.Timers().Set(&pol.retry.Timer, pol.retry.At)
}

// Failed records that our negotiation for it failed. What traffic asked for waits for new traffic.
func (pol *Policy) Failed(t Trouble) {
	pol.busy, pol.restart = false, false
	pol.refusals = 0
	pol.note(t)
	pol.retry.Fails++
	pol.pause(pol.owner.Backoff().Pause(pol.retry.Fails, pol.table.host.Rand()))
	pol.owner.Report(Report{Policy: pol, Warn: true, Event: "child-failed", Trouble: t})
	pol.GiveUp(reason.Err(t, "child "+identity.Quote(pol.Settings.Name)+": "))
}

// note keeps why the policy is down.
func (pol *Policy) note(t Trouble) {
	t.At = pol.table.host.Now()
	pol.Trouble = t
}

// NotMoved records that a negotiation for it failed by which it was to move to another carrier. It
// stays up by what it has.
func (pol *Policy) NotMoved(t Trouble) {
	pol.owner.Report(Report{Policy: pol, Warn: true, Event: "child-failed", Trouble: t})
}

// PutOff records that our negotiation for it failed on a carrier that another one is to take the
// place of. Whatever waits for it waits for that one.
func (pol *Policy) PutOff(t Trouble) {
	pol.busy, pol.want = false, true
	pol.note(t)
	pol.owner.Report(Report{Policy: pol, Warn: true, Event: "child-failed", Trouble: t})
}

// AskAgain records that the peer refused our negotiation for it and is asked at once for less.
func (pol *Policy) AskAgain(t Trouble) {
	pol.busy, pol.want = false, true
	pol.note(t)
	pol.owner.Touch()
}

// GiveUp answers once whatever waits for the policy. A policy that should always be up is tried
// again, and one that is up by now, since the peer has made a pair, is wanted still.
func (pol *Policy) GiveUp(err error) {
	pol.flow = nil
	pol.want = pol.base == IntentUp || pol.restart || pol.Up()
	pol.asked = pol.asked && pol.want
	pol.table.host.AcquireFailed(pol.ID)
	pol.owner.GaveUp(pol, err)
}

// Refused counts a temporary refusal of our request for a pair. It returns their number since the
// last pair came up.
func (pol *Policy) Refused() int {
	pol.refusals++
	return pol.refusals
}

// TryIn plans the next try after d, because of a temporary refusal.
func (pol *Policy) TryIn(d time.Duration, t Trouble) {
	pol.note(t)
	pol.pause(d)
}

// Defer plans the next try after d at the earliest, if one is due earlier.
func (pol *Policy) Defer(d time.Duration) {
	if pol.want && !pol.Up() && !pol.busy && pol.retry.At.Before(pol.table.host.Now().Add(d)) {
		pol.pause(d)
	}
}

// RefusedCall records that a request of the peer for a pair of the policy was refused.
func (pol *Policy) RefusedCall(t Trouble) {
	if pol.Up() {
		return
	}
	if pol.Reason != t.Reason {
		pol.owner.Report(Report{Policy: pol, Warn: true, Event: "child-refused", Trouble: t})
	}
	pol.note(t)
}

// report gives notice of an event of the policy.
func (pol *Policy) report(event, text string) {
	pol.owner.Report(Report{Policy: pol, Event: event, Text: text})
}
