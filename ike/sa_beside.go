package ike

import (
	"cmp"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
	"culvert/ike/wire"
)

// A peer may make Child SAs in IKE_AUTH only: one that refuses every CREATE_CHILD_SA, as RFC 7296,
// Section 1.3, allows, or one whose setting for PFS differs, since IKE_AUTH has no key exchange.
// The first child of such a peer comes up with the IKE SA. Another one gets an IKE SA of its own
// beside those that stand, and all of them stay:
//
//	an IKE SA that carries another child       the one beside
//	CREATE_CHILD_SA  -->
//	                 <--  N(the refusal)
//	                                           IKE_SA_INIT, IKE_AUTH  <-->
//
// The settlement of redundant IKE SAs leaves those that are marked with fateBeside, as long as each
// carries what the other lacks. One that carries nothing any more is deleted. One with several
// children stays beside the one that takes its place until each has one of its own (awaitsOwn).

const (
	// maxBeside is how many IKE SAs with one party may carry something before no other one is made
	// for a child that they are refused. A culvert keeps maxRedundant that one identity began, of
	// which a replacement is one more for a moment.
	maxBeside = 8
	// ownPause is the least time between two IKE SAs for one child. It is doubled after each, up to
	// ownPauseMost: some peers refuse the child in IKE_AUTH as well, and some keep one IKE SA only,
	// and delete the one that carries the other child.
	ownPause, ownPauseMost = time.Minute, time.Hour
)

// besides is the state of the IKE SAs of a party that are made for one child each.
type besides struct {
	waiting []*child.Policy // for an IKE SA that is not established yet
	tried   map[*child.Policy]ownTry
	timer   timer.Timer
	at      time.Time // not before
}

// An ownTry is what is known of the IKE SAs that were begun for a child.
type ownTry struct {
	last  time.Time
	times int
}

// pause returns for how long after the last one no other is begun.
func (t ownTry) pause() time.Duration {
	if t.times == 0 {
		return 0
	}
	return min(ownPause<<min(t.times-1, 10), ownPauseMost)
}

// madeInAuth reports whether a Child SA that the peer refused by an error in CREATE_CHILD_SA may
// come up in IKE_AUTH. A culvert that makes no more of them has as many as its limit allows.
func (s *ikeSA) madeInAuth(kind wire.NotifyType) bool {
	return kind == wire.NoAdditionalSAs && !s.net.follows || kind == wire.NoProposalChosen || kind == wire.InvalidKEPayload
}

// getsOwn handles the refusal of a first Child SA on an IKE SA that carries others, and reports
// whether the policy is to wait for an IKE SA of its own.
func (p *party) getsOwn(pol *child.Policy, on *ikeSA, kind wire.NotifyType) bool {
	t, now := p.beside.tried[pol], p.e.handling.now
	if !on.madeInAuth(kind) || p.cfg.Childless == ChildlessForce || !pol.Wanted() || !p.canConnect() || p.cfg.Parties || len(on.children.Pairs()) == 0 ||
		p.carrying()+len(p.beside.waiting) >= maxBeside || now.Sub(t.last) < t.pause() {
		return false
	}
	if p.e.touch(p); !p.waitsForOwn(pol) {
		p.beside.waiting = append(p.beside.waiting, pol)
	}
	return true
}

// carrying returns how many IKE SAs of the party carry something.
func (p *party) carrying() (n int) {
	for _, s := range p.sas {
		if s.usable() && len(s.children.Pairs()) > 0 {
			n++
		}
	}
	return n
}

// waitsForOwn reports whether the policy waits for an IKE SA of its own.
func (p *party) waitsForOwn(pol *child.Policy) bool { return slices.Contains(p.beside.waiting, pol) }

// staysUp reports whether the policy has a Child SA on an IKE SA that is not to go.
func staysUp(pol *child.Policy) bool {
	return slices.ContainsFunc(pol.Pairs(), func(q *child.Pair) bool {
		return q.State().Usable() && !q.Carrier().Ending() && saOf(q).succ.fate != fateSettled
	})
}

// connectBeside begins an IKE SA for a policy that waits for one. Without a standing IKE SA the
// next one is for all, and what was refused before counts no more.
func (p *party) connectBeside() {
	b := &p.beside
	standing := p.main()
	if standing == nil {
		b.waiting, b.tried = nil, nil
		return
	}
	b.waiting = slices.DeleteFunc(b.waiting, func(pol *child.Policy) bool {
		return !pol.Wanted() || staysUp(pol) || !slices.Contains(p.policies, pol)
	})
	if len(b.waiting) == 0 || p.trying() {
		return
	}
	now := p.e.handling.now
	if at := later(b.at, p.try.At); now.Before(at) {
		p.e.timers.Set(&b.timer, at)
		return
	}
	b.at = now.Add(replacePause)
	p.e.timers.Set(&b.timer, b.at)
	pol := b.waiting[0]
	p.countOwn(pol)
	p.startAt(standing)
	if s := p.connect(nil, nil); s != nil {
		s.succ.own = pol
	}
}

// countOwn counts an IKE SA that is begun for a policy, and forgets policies that are gone.
func (p *party) countOwn(pol *child.Policy) {
	tried, now := map[*child.Policy]ownTry{}, p.e.handling.now
	for _, q := range p.policies {
		if t, ok := p.beside.tried[q]; ok && now.Sub(t.last) <= 2*ownPauseMost {
			tried[q] = t
		}
	}
	tried[pol] = ownTry{now, tried[pol].times + 1}
	p.beside.tried = tried
}

// standBeside marks an IKE SA that was made for one policy, and those that it was made beside. It
// is called when the IKE SA is established, before its Child SA is known.
func (s *ikeSA) standBeside() {
	p, own := s.party, s.succ.own
	if own == nil {
		if old := cmp.Or(s.succ.inPlaceOf(), s.succ.expiredBefore()); old != nil && old.succ.fate == fateBeside {
			s.succ.fate = fateBeside
		}
		return
	}
	p.beside.waiting = slices.DeleteFunc(p.beside.waiting, func(pol *child.Policy) bool { return pol == own })
	for _, o := range p.sas {
		if o != s && o.usable() && o.sameIdentity(s) {
			s.succ.fate = fateBeside
			if o.succ.fate == fateOpen {
				o.succ.fate = fateBeside
			}
		}
	}
}

// closeIdle deletes the IKE SAs that stood beside others and carry nothing any more.
func (p *party) closeIdle() {
	for _, s := range slices.Clone(p.sas) {
		carries := func(o *ikeSA) bool {
			return o != s && o.usable() && o.sameIdentity(s) && len(o.children.Pairs()) > 0
		}
		if s.usable() && s.succ.fate == fateBeside && s.succ.outlook != outlookSilent && len(s.children.Pairs()) == 0 &&
			!s.work.Busy() && slices.ContainsFunc(p.sas, carries) {
			s.closeAs(child.EndReplaced, "it carries nothing, and another IKE SA with the peer stands")
		}
	}
}
