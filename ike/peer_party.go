package ike

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/reason"
	"culvert/ike/timer"
)

// hastenPause is the least time between two cuts of the pause before the next try. News that may
// make it succeed, such as changed names and addresses, can come without end.
const hastenPause = 10 * time.Second

// hasten starts a waiting try at once.
func (p *party) hasten() {
	if now := p.e.handling.now; p.try.At.After(now) && p.mayHasten() {
		p.try.At = now
		p.e.touch(p)
	}
}

// mayHasten reports whether a pause may be cut now, and counts it.
func (p *party) mayHasten() bool {
	now := p.e.handling.now
	if !p.try.hastened.IsZero() && now.Sub(p.try.hastened) < hastenPause {
		return false
	}
	p.try.hastened = now
	return true
}

// redirect ends an attempt to connect to an address that the peer no longer has. The next one
// follows at once.
func (p *party) redirect() {
	for _, s := range slices.Clone(p.sas) {
		if s.misdirected() {
			s.end(child.EndFailed, movedAway)
		}
	}
}

const movedAway = "the peer has another address"

// misdirected reports whether an attempt to connect goes to an address that the peer no longer has.
// Where IKE_SA_INIT was answered, IKE_AUTH may be as well until it has been repeated.
func (s *ikeSA) misdirected() bool {
	out := s.win.Outstanding()
	return (s.state == saConnecting || s.state == saAuthenticating && out != nil && out.Repeated > 0) &&
		!slices.Contains(s.party.cfg.Remote, s.net.Remote().Addr())
}

// reconcile starts what is wanted, missing and due.
func (p *party) reconcile() {
	if !p.bringUp() {
		p.e.pace.Leave(&p.turn)
	}
}

// bringUp is reconcile. It reports whether the party waits for its turn to connect.
func (p *party) bringUp() (waits bool) {
	if p.isOne() && len(p.profile.party.waiters.list) > 0 {
		p.e.touch(p.profile.party) // they may wait for this one
	}
	if p.comeAndGo() || p.removed || p.e.stopping {
		return false
	}
	p.enforceHolds()
	p.settleDuplicates()
	p.waiters.check()
	p.replaceDying()
	p.closeIdle()
	p.connectBeside()
	var due []*child.Policy
	for _, pol := range p.policies {
		if s := p.main(); s != nil && !s.succ.barren() {
			pol.AskRest()
		}
		if pol.Due() && p.startable(pol) && !p.waitsForOwn(pol) {
			due = append(due, pol)
		}
	}
	if len(due) == 0 {
		return p.bringUpAlone()
	}
	if s := p.main(); s != nil {
		if s.succ.barren() {
			return false
		}
		for _, pol := range due {
			pol.Begin()
			s.enqueue(newChildExchange(pol, nil))
		}
		return false
	}
	if p.trying() || p.e.handling.now.Before(p.try.At) {
		return false
	}
	if !p.mayConnect(due) {
		return true
	}
	p.connect(due, nil)
	return false
}

// connect starts an attempt at the next address, in place of an IKE SA unless that is nil.
func (p *party) connect(due []*child.Policy, instead *ikeSA) *ikeSA {
	if len(p.cfg.Remote) == 0 {
		p.cannotConnect()
		return nil
	}
	p.startAt(instead)
	remote := p.nextRemote()
	s, err := p.e.newSA(true, saConnecting)
	if err == nil {
		s.party, s.succ.replaces = p, instead
		p.sas = append(p.sas, s)
		err = s.startInit(netip.AddrPortFrom(remote, p.cfg.RemotePort))
	}
	if err != nil {
		if s != nil {
			s.remove()
		}
		p.tryFailed(ownFault("no randomness: "+err.Error()).Trouble(), time.Time{})
		return nil
	}
	for _, pol := range due {
		pol.Trouble = child.Trouble{}
	}
	return s
}

// startAt has a round of attempts begin where an IKE SA reached the peer last, unless it is nil: to
// wait first for an address that may not answer would take the time that the Child SAs have left,
// or leave packets without an SA.
func (p *party) startAt(s *ikeSA) {
	if s != nil && p.try.missed == 0 {
		if i := slices.Index(p.cfg.Remote, s.net.Remote().Addr()); i >= 0 {
			p.try.addr = i
		}
	}
}

// cannotConnect fails what waits for a peer without a remote address. A policy that should always
// be up waits for the peer.
func (p *party) cannotConnect() {
	const why = "the peer is not connected, and no remote address is configured to connect to"
	for _, pol := range p.policies {
		if pol.Wanted() && (pol.Base() != child.IntentUp || pol.Flow() != nil || p.waiters.waitFor(pol)) {
			pol.Trouble = child.Trouble{Reason: why}
			pol.GiveUp(errors.New(why))
		}
	}
}

// ended records the end of one of the peer's IKE SAs. For a failed attempt of ours tryFailed has
// already recorded more.
func (p *party) ended(s *ikeSA, cause child.Cause, why string) {
	p.e.touch(p)
	for _, o := range p.sas {
		if o.succ.expiredBefore() == nil { // else each would keep all those before it in memory
			o.succ.replaces = o.succ.inPlaceOf()
		}
	}
	gone := cause == child.EndDead || cause == child.EndMoved
	if gone {
		p.e.emit(Resolve{Peer: p.cfg.Name}) // it may be elsewhere by now
	}
	failedTry := cause == child.EndFailed && s.life.established.IsZero()
	if failedTry || p.main() != nil || p.removed {
		return
	}
	p.Trouble = child.Trouble{Reason: why}
	p.try.prompt = cause == child.EndPeer || cause == child.EndDead
	if !gone && !s.life.established.IsZero() {
		p.startAt(s)
	}
}

// tryFailed records the failure of an attempt of ours. If the address did not answer, asked is when
// it was asked last, and else zero. Then the next address is tried at once. After the last one the
// first of the round, which is the next again, is left unasked for the pause, or timer.ReconnectMax
// if that is longer: the last repetitions have pauses of their own, and the other addresses took
// their time.
func (p *party) tryFailed(t reason.Trouble, asked time.Time) {
	if p.removed || p.e.stopping {
		return
	}
	t.At = p.e.handling.now
	p.Trouble = t
	p.e.touch(p)
	if p.try.missed == 0 {
		p.try.asked = asked
	}
	if asked.IsZero() {
		p.try.unanswered = Asked{}
	}
	if n := len(p.cfg.Remote); n > 0 {
		if asked.IsZero() {
			p.e.unanswered.remove(p, p.nextRemote())
		}
		p.try.addr = (p.try.addr + 1) % n
		if p.try.missed++; !asked.IsZero() && p.try.missed < n {
			next := t
			next.Reason += "; the next address is tried"
			p.fails("connect-failed", next)
			return
		}
	}
	p.try.missed, p.try.prompt, p.beside.waiting = 0, false, nil
	p.try.Fails++
	now, pause := p.e.handling.now, p.cfg.Reconnect.Pause(p.try.Fails, p.e.cfg.Rand)
	p.try.At = now.Add(pause)
	if latest := p.try.asked.Add(max(pause, timer.ReconnectMax)); !p.try.asked.IsZero() && p.try.At.After(latest) {
		p.try.At = later(now, latest)
	}
	p.e.timers.Set(&p.try.Timer, p.try.At)
	p.fails("connect-failed", t)
	// What answers there is not the peer, or not as configured: the name may now have another
	// address.
	p.e.emit(Resolve{Peer: p.cfg.Name})
	p.waiters.failedAlone(reason.Err(t, ""))
	for _, pol := range p.policies {
		pol.Settled()
		if pol.Wanted() && !pol.Up() {
			pol.Trouble = child.Trouble{}
			pol.GiveUp(reason.Err(t, ""))
		}
	}
}

// connected records that an IKE SA with the peer is established.
func (p *party) connected() {
	p.try.Fails, p.try.missed, p.try.At, p.try.prompt, p.try.met = 0, 0, time.Time{}, false, true
	p.try.unanswered = Asked{}
	p.e.timers.Stop(&p.try.Timer)
	p.reconnected()
	p.Trouble = child.Trouble{}
	p.calls.Trouble, p.calls.reached = child.Trouble{}, false // of the profile
	p.obstacle = nil
	p.e.touch(p)
}
