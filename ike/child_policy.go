package ike

import (
	"fmt"
	"slices"
	"time"

	"culvert/ike/timer"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// policy is one configured child and its state.
type policy struct {
	party *party
	cfg   Child
	base  intent
	want  bool           // it should be up now
	flow  *selector.Flow // of the packet that triggered it
	busy  bool           // our negotiation for it is queued or under way
	main  chain
	more  []*chain // for single resources
	group group
	// lingering are the deleted pairs whose inbound half still accepts packets.
	lingering []*pair
	retry     retry
	trouble
	rekeys   int
	refusals int // TEMPORARY_FAILURE responses, in a row
}

// intent is what to do with a policy that is down.
type intent uint8

const (
	intentUp      intent = iota // bring it up
	intentTraffic               // wait for traffic
	intentDown                  // leave it down
)

// retry is the back-off after failures.
type retry struct {
	fails int
	at    time.Time // time of the next try; zero: at once
	timer timer.Timer
}

// trouble is why something is down.
type trouble struct {
	reason  string
	explain []string
}

func newPolicy(p *party, c Child) *policy {
	pol := &policy{party: p, cfg: c, base: intentOf(c.Start)}
	pol.main.policy = pol
	pol.want = pol.base == intentUp
	pol.retry.timer.Fire = func() { p.e.touch(p) }
	return pol
}

func intentOf(m StartMode) intent {
	switch m {
	case StartBoot:
		return intentUp
	case StartNever:
		return intentDown
	}
	return intentTraffic
}

func (pol *policy) name() ipsec.Policy {
	return ipsec.Policy{Peer: pol.party.cfg.Name, Child: pol.cfg.Name}
}

// up reports whether packets of the policy can be sent, and will remain so: a pair on an IKE SA
// that is being closed does not count.
func (pol *policy) up() bool {
	has := func(l *chain) bool {
		return slices.ContainsFunc(l.pairs, func(p *pair) bool { return p.state.usable() && !p.owner.state.ending() })
	}
	return has(&pol.main) || slices.ContainsFunc(pol.more, has)
}

// due reports whether a negotiation for it should start now.
func (pol *policy) due(now time.Time) bool {
	return pol.want && !pol.busy && !pol.up() && !now.Before(pol.retry.at)
}

// installed records that a pair was installed for it.
func (pol *policy) installed() {
	pol.retry.fails, pol.refusals, pol.retry.at = 0, 0, time.Time{}
	pol.trouble = trouble{}
	pol.flow = nil
	pol.want = true
	pol.party.e.timers.Stop(&pol.retry.timer)
}

// lost records that its last pair is gone.
func (pol *policy) lost(cause endCause, why string) {
	pol.reason = why
	pol.party.notice(Info, "child-down", pol.cfg.Name, "Child SA ended: "+why)
	if cause == endDead {
		switch pol.party.cfg.DPDAction {
		case DPDTrap:
			pol.base = max(intentTraffic, pol.base)
		case DPDClear:
			pol.base = intentDown
		}
	}
	// A command or a packet may have asked for it again during the deletion.
	again := pol.flow != nil || pol.party.waiters.waitFor(pol)
	pol.want = pol.base == intentUp || cause == endMoved && pol.want || cause == endDead && pol.party.cfg.DPDAction == DPDRestart || pol.want && again
	if pol.base == intentUp && (cause == endPeer || cause == endFailed) {
		// The peer deleted it for a reason. A pause keeps the two sides from creating and deleting
		// it without end.
		pol.retry.at = pol.party.e.handling.now.Add(timer.ReconnectPause(1, pol.party.e.cfg.Rand))
		pol.party.e.timers.Set(&pol.retry.timer, pol.retry.at)
	}
	pol.party.e.touch(pol.party)
}

// failed records that our negotiation for it failed. What traffic asked for waits for new traffic.
func (pol *policy) failed(why string, explain []string) {
	e := pol.party.e
	pol.busy = false
	pol.reason, pol.explain = why, explain
	pol.retry.fails++
	pause := timer.ReconnectPause(pol.retry.fails, e.cfg.Rand)
	pol.retry.at = e.handling.now.Add(pause)
	e.timers.Set(&pol.retry.timer, pol.retry.at)
	pol.party.notice(Warn, "child-failed", pol.cfg.Name, why)
	pol.giveUp(fmt.Errorf("child %q: %s", pol.cfg.Name, why))
}

// giveUp answers once whatever waits for the policy. A policy that should always be up is tried
// again.
func (pol *policy) giveUp(err error) {
	pol.flow = nil
	pol.want = pol.base == intentUp
	pol.party.e.emit(AcquireFailed{Policy: pol.name()})
	pol.party.waiters.failed(pol, err)
}

// whatNext describes what happens next to a policy that is down.
func (pol *policy) whatNext(now time.Time) string {
	at := pol.retry.at
	if pol.party.try.at.After(at) {
		at = pol.party.try.at
	}
	switch {
	case pol.busy:
		return ""
	case pol.want && len(pol.party.cfg.Remote) == 0 && pol.party.main() == nil:
		return "waiting for the peer to connect: no remote address is configured"
	case pol.want && at.After(now):
		return "next try in " + seconds(at.Sub(now))
	case !pol.want && pol.base == intentTraffic && at.After(now):
		return "waiting for traffic after a pause of " + seconds(at.Sub(now))
	case !pol.want && pol.base == intentTraffic:
		return "waiting for traffic"
	case !pol.want && pol.base == intentDown:
		return "down until requested"
	}
	return ""
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%d s", (d+time.Second-1)/time.Second)
}

// selectorsToOffer returns TSi and TSr of a new Child SA: first those of the packet that triggered
// it, then all of the policy (RFC 7296, Section 2.9), up to the number that a payload holds.
func (pol *policy) selectorsToOffer() (local, remote []selector.Selector) {
	if pol.flow != nil && selector.MatchOutbound(pol.flow, pol.cfg.Local, pol.cfg.Remote) {
		l, r := selector.Specific(pol.flow)
		local, remote = append(local, l), append(remote, r)
	}
	local, remote = append(local, pol.cfg.Local...), append(remote, pol.cfg.Remote...)
	return local[:min(len(local), selector.MaxSelectors)], remote[:min(len(remote), selector.MaxSelectors)]
}

// wireTS returns selectors as a TS payload.
func wireTS(responder bool, list []selector.Selector) *wire.TS {
	ts := &wire.TS{Responder: responder}
	for _, s := range list {
		ts.Selectors = append(ts.Selectors, wire.TrafficSelector{Protocol: s.Protocol, StartPort: s.StartPort, EndPort: s.EndPort, Start: s.Start, End: s.End})
	}
	return ts
}

// selectorsOf returns the selectors of a TS payload, without invalid ones.
func selectorsOf(ts *wire.TS) []selector.Selector {
	var list []selector.Selector
	for _, w := range ts.Selectors {
		s := selector.Selector{Start: w.Start, End: w.End, Protocol: w.Protocol, StartPort: w.StartPort, EndPort: w.EndPort}
		if s.Valid() {
			list = append(list, s)
		}
	}
	return list
}

// explainSelectors returns lines with the selectors of both sides.
func explainSelectors(ourLocal, ourRemote, theirLocal, theirRemote []selector.Selector) []string {
	return []string{
		"ours: local " + listSelectors(ourLocal) + ", remote " + listSelectors(ourRemote),
		"theirs: local " + listSelectors(theirLocal) + ", remote " + listSelectors(theirRemote),
	}
}

// maxListed bounds the number of selectors that are listed.
const maxListed = 10

func listSelectors(list []selector.Selector) string {
	if len(list) == 0 {
		return "none"
	}
	var text string
	for i, s := range list {
		if i == maxListed {
			return text + fmt.Sprintf(" and %d more", len(list)-i)
		}
		if i > 0 {
			text += " "
		}
		text += s.String()
	}
	return text
}
