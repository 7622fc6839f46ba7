package ike

import (
	"errors"
	"fmt"
	"time"

	"culvert/ike/child"
	"culvert/ike/wire"
)

// An IKE SA without a Child SA (RFC 6023, Sections 3 to 5). An initiator may ask for one where the
// responder announces that it makes them. The Child SAs follow by CREATE_CHILD_SA when they are
// needed, so that the first one can have a key exchange of its own as well:
//
//	HDR, SAi1, KEi, Ni  -->
//	                    <--  HDR, SAr1, KEr, Nr, N(CHILDLESS_IKEV2_SUPPORTED)
//	HDR, SK {IDi, [IDr,] AUTH}  -->
//	                    <--  HDR, SK {IDr, AUTH}

// ChildlessMode is [[peer]] childless: who may begin IKE SAs without a Child SA.
type ChildlessMode uint8

// Values of ChildlessMode.
const (
	ChildlessAllow  ChildlessMode = iota // the peer
	ChildlessPrefer                      // we as well, where the peer makes them
	ChildlessForce                       // we as well, and we begin no others
	ChildlessNever                       // nobody: they are not announced for the peer
)

// childlessSupported returns the notify by which a responder announces that it makes them. Its
// protocol is IKE's although it names no SPI (RFC 6023, Section 4).
func childlessSupported() *wire.Notify {
	return &wire.Notify{Protocol: wire.ProtoIKE, Kind: wire.ChildlessIKEv2Supported}
}

// asksForChild reports whether a message of IKE_AUTH has the payloads of a Child SA. One that has a
// part of them was refused before.
func asksForChild(ps []wire.Payload) bool {
	_, ok := wire.Find[*wire.SA](ps)
	return ok
}

// errChildful means that a peer makes no IKE SA without a Child SA, and we begin no other.
var errChildful = errors.New("it does not announce IKE SAs without a Child SA (CHILDLESS_IKEV2_SUPPORTED), and childless = \"force\" allows no others")

// maySetUp reports by an error whether the response to IKE_SA_INIT leaves us nothing to ask for. It
// is not authenticated, so that a better one may come.
func (s *ikeSA) maySetUp(ps []wire.Payload) error {
	_, s.setup.childless = wire.FindNotify(ps, wire.ChildlessIKEv2Supported)
	if s.party.cfg.Childless == ChildlessForce && !s.setup.childless {
		return errChildful
	}
	return nil
}

// beginsBare reports whether IKE_AUTH asks for no Child SA. An IKE SA that is made for one child,
// as the peer refuses it elsewhere, asks for that.
func (s *ikeSA) beginsBare() bool {
	switch {
	case !s.setup.childless || s.succ.own != nil:
		return false
	case s.auth.alone:
		return true
	case s.party.cfg.Childless == ChildlessPrefer:
		until := s.party.try.childInAuth
		return until.IsZero() || s.succ.inPlaceOf() == nil && !s.e.handling.now.Before(until)
	}
	return s.party.cfg.Childless == ChildlessForce
}

// bareDefect is how long IKE_AUTH asks for a Child SA, at least, after the peer made none without
// that. An IKE SA that takes the place of another one, whose Child SAs carry packets, then does so
// for ever.
const bareDefect = time.Hour

// notByItself handles that the peer makes no Child SA on an IKE SA which we began without one, and
// reports whether the next one begins with a Child SA: some peers make them in IKE_AUTH only, or
// their setting for PFS differs. why describes what the peer did.
func (a *authLife) notByItself(why string) bool {
	s := a.sa
	if !a.bare || len(s.children.Pairs()) > 0 || s.party.cfg.Childless != ChildlessPrefer {
		return false
	}
	s.party.try.childInAuth = s.e.handling.now.Add(bareDefect)
	s.succ.wontLive(why + ", and the IKE SA was begun without a Child SA: the next one begins with one")
	return true
}

// bareCannotCarry is succession.cannotCarry for an IKE SA that we began without a Child SA. On one
// that has none, NO_ADDITIONAL_SAS is about no limit.
func (c *succession) bareCannotCarry(kind wire.NotifyType) bool {
	return (kind == wire.NoAdditionalSAs || c.sa.madeInAuth(kind)) && c.sa.auth.notByItself(fmt.Sprintf("the peer answered %v to CREATE_CHILD_SA", kind)) && c.barren()
}

// concludeChild reads what a response to IKE_AUTH says of the Child SA that we asked for, if any.
func (x *authExchange) concludeChild(s *ikeSA, ps []wire.Payload) {
	if x.bare {
		s.auth.bare = true
		return
	}
	if p := x.child.conclude(s, ps, s.keys.nonces, nil); p != nil {
		s.useNow(p)
		p.CameUp()
		return
	}
	s.auth.childless = true
	if e, ok := wire.FindError(ps); ok {
		s.auth.refusal = e.Kind
	}
}

// policyFor returns the policy that needs an IKE SA that is being set up, or nil.
func (s *ikeSA) policyFor(old *ikeSA) *child.Policy {
	if s.auth.alone {
		return s.party.duePolicy()
	}
	if own := s.succ.own; own != nil && s.party.main() != nil {
		if own.Wanted() && !staysUp(own) && !own.Busy() {
			return own
		}
		return nil
	}
	return s.party.firstPolicy(old)
}
