package ike

import (
	"fmt"
	"slices"
	"time"

	"culvert/ike/child"
)

// whatNext describes what happens next to a peer that is down. s is its IKE SA, if any.
func (p *party) whatNext(s *ikeSA) string {
	now := p.e.handling.now
	switch {
	case p.e.stopping:
		return "the daemon is stopping"
	case p.trying():
		return "connecting"
	case s != nil && s.state == saClosing:
		return "being closed"
	case !slices.ContainsFunc(p.policies, func(pol *child.Policy) bool { return pol.Wanted() }):
		if slices.ContainsFunc(p.policies, func(pol *child.Policy) bool { return pol.Base() == child.IntentTraffic }) {
			return "waiting for traffic"
		}
		return "down until requested"
	case len(p.cfg.Remote) == 0:
		return "waiting for the peer to connect: no remote address is configured"
	case p.try.At.After(now):
		return "next try in " + seconds(p.try.At.Sub(now))
	case p.turn.Waiting():
		return "waiting for its turn among many peers to connect to"
	}
	return ""
}

// whatNext describes what happens next to a policy that is down.
func whatNext(pol *child.Policy) string {
	p := pol.Owner().(*party)
	s := p.main()
	at, now := pol.NextTry(), p.e.handling.now
	if p.try.At.After(at) {
		at = p.try.At
	}
	switch {
	case pol.Busy():
		return ""
	case pol.Wanted() && len(p.cfg.Remote) == 0 && s == nil:
		return "waiting for the peer to connect: no remote address is configured"
	case pol.Wanted() && !p.startable(pol):
		return "waiting for the peer to ask for it"
	case pol.Wanted() && s != nil && s.succ.barren():
		return "waiting for a new IKE SA: " + s.succ.why
	case pol.Wanted() && p.waitsForOwn(pol):
		return "waiting for an IKE SA of its own"
	case pol.Wanted() && at.After(now):
		return "next try in " + seconds(at.Sub(now))
	case !pol.Wanted() && pol.Base() == child.IntentTraffic && at.After(now):
		return "waiting for traffic after a pause of " + seconds(at.Sub(now))
	case !pol.Wanted() && pol.Base() == child.IntentTraffic:
		return "waiting for traffic"
	case !pol.Wanted() && pol.Base() == child.IntentDown:
		return "down until requested"
	}
	return ""
}

// join returns what happened and what happens next.
func join(reason, next string) string {
	if reason == "" || next == "" {
		return reason + next
	}
	return reason + "; " + next
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%d s", (d+time.Second-1)/time.Second)
}
