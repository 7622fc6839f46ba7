package ike

import (
	"encoding/binary"
	"fmt"
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
	"culvert/ike/wire"
)

// authLife is how long an authentication is good for. Rekeying an IKE SA proves no identity again
// (RFC 7296, Section 2.8.3), so the limit holds for all IKE SAs that follow from it by rekeying.
// The side that was the initiator of IKE_AUTH authenticates again, in time, by a new IKE SA that
// takes the place of the old one before that is deleted. The responder tells its limit there (RFC
// 4478) and ends the IKE SA if nothing follows:
//
//	HDR, SK {IDi, ... AUTH, SAi2, TSi, TSr}  -->
//	                                         <--  HDR, SK {IDr, AUTH, SAr2, TSi, TSr,
//	                                                       N(AUTH_LIFETIME)}
type authLife struct {
	sa    *ikeSA
	asked bool      // we were the initiator of IKE_AUTH
	ours  time.Time // when it ends by our configuration; zero: never
	told  time.Time // when it ends by the peer's word; zero: never
	due   timer.Timer
	// childless is set if the Child SA of IKE_AUTH did not come up, and refusal to the error by
	// which the peer refused it; 0: by none.
	childless bool
	refusal   wire.NotifyType
	bare      bool // we asked for no Child SA in IKE_AUTH
	alone     bool // the first IKE SA was begun for no child
	methods   AuthMethods
}

// minToldLife bounds the limit that a peer tells from below.
const minToldLife = 10 * time.Second

// begin starts the life of an authentication.
func (a *authLife) begin() {
	a.asked = a.sa.initiator
	if life := a.sa.party.cfg.AuthLifetime; life > 0 {
		a.ours = a.sa.e.handling.now.Add(life)
	}
	a.schedule()
}

// inherit continues the life for a successor by rekeying.
func (a *authLife) inherit(old *authLife) {
	a.asked, a.ours, a.told, a.childless, a.refusal = old.asked, old.ours, old.told, old.childless, old.refusal
	a.bare, a.alone, a.methods = old.bare, old.alone, old.methods
	a.sa.e.timers.Stop(&old.due)
	a.schedule()
}

// listen follows the peer's limit, from its IKE_AUTH response or, if it changes, from an
// INFORMATIONAL request.
func (a *authLife) listen(ps []wire.Payload) {
	n, ok := wire.FindNotify(ps, wire.AuthLifetime)
	if !ok || !a.asked || len(n.Data) != 4 || a.sa.state != saEstablished {
		return
	}
	life := time.Duration(binary.BigEndian.Uint32(n.Data)) * time.Second
	a.told = a.sa.e.handling.now.Add(max(life, minToldLife))
	a.schedule()
}

// notify returns the notify that tells the peer our limit, or nothing if we have none.
func (a *authLife) notify() []wire.Payload {
	life := a.sa.party.cfg.AuthLifetime
	if life <= 0 {
		return nil
	}
	return []wire.Payload{&wire.Notify{Kind: wire.AuthLifetime, Data: binary.BigEndian.AppendUint32(nil, uint32(life/time.Second))}}
}

// ends returns when the authentication is no longer good, or zero.
func (a *authLife) ends() time.Time {
	if a.ours.IsZero() || !a.told.IsZero() && a.told.Before(a.ours) {
		return a.told
	}
	return a.ours
}

// schedule sets the timer: for the initiator of IKE_AUTH to the time of its next authentication,
// and otherwise to the end.
func (a *authLife) schedule() {
	end := a.ends()
	if end.IsZero() {
		return
	}
	left := end.Sub(a.sa.e.handling.now)
	if a.asked {
		left = min(child.RekeyMargin(left, true, a.sa.e.cfg.Rand), left-min(authMargin, left/4))
	}
	a.sa.e.after(&a.due, left)
}

// authMargin is the time for the next authentication, of which a short life leaves a quarter.
const authMargin = 30 * time.Second

// expire is called when the timer fires.
func (a *authLife) expire() {
	s := a.sa
	now, end := s.e.handling.now, a.ends()
	switch {
	case s.state != saEstablished:
	case !now.Before(end):
		s.closeAs(child.EndExpired, "its authentication has expired")
	default:
		s.e.after(&a.due, end.Sub(now))
		a.renew()
	}
}

// renew has a new IKE SA take the place of this one.
func (a *authLife) renew() {
	s := a.sa
	if s.succ.outlook != outlookGood {
		return
	}
	s.succ.outlook, s.succ.why = outlookDying, "authenticated again"
	s.notice(Info, "ike-reauthenticating", fmt.Sprintf("the authentication is good until %s; a new IKE SA takes its place", a.ends().UTC().Format(time.RFC3339)))
	s.e.touch(s.party)
}
