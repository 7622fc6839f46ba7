package ike

import (
	"cmp"
	"fmt"
	"slices"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/wire"
)

// IKE_AUTH (RFC 7296, Sections 1.2, 2.15 and 2.21.2), with certificates where a side has them:
//
//	HDR, SK {IDi, [N(INITIAL_CONTACT),] [IDr,]
//	         [CERTREQ,] [CERT,] AUTH,
//	         SAi2, TSi, TSr}                    -->
//	                                            <--  HDR, SK {IDr, [CERT,] AUTH, SAr2, TSi, TSr}
//	                                            <--  HDR, SK {IDr, [CERT,] AUTH, N(no Child SA)}
//	                                            <--  HDR, SK {N(AUTHENTICATION_FAILED)}

// authExchange is the initiator's side of IKE_AUTH.
type authExchange struct {
	child      *childOffer
	bare       bool // it asks for no Child SA (RFC 6023)
	credential Credential
	proof      string // by what we prove who we are, in words
	verifying  bool   // the response has come and is being verified
}

// newAuthExchange returns an exchange that negotiates a policy that needs the IKE SA, or leaves
// that for later.
func newAuthExchange(s *ikeSA) *authExchange {
	x := &authExchange{}
	pol := s.policyFor(cmp.Or(s.succ.inPlaceOf(), s.succ.expiredBefore()))
	switch {
	case (pol != nil || s.auth.alone) && s.beginsBare():
		x.bare = true
	case pol == nil:
	default:
		x.child = &childOffer{policy: pol}
	}
	return x
}

// firstPolicy returns the policy whose Child SA IKE_AUTH negotiates, or nil: one that the IKE SA
// serves in whose place a new one is made, unless that is nil, or one that is due. What is made in
// place of one that carries nothing serves what that was to take over. The request for the
// connection may have been withdrawn since, but the exchange needs a Child SA: then it is one that
// may come up without a command.
func (p *party) firstPolicy(old *ikeSA) *child.Policy {
	if old != nil {
		if pol := old.oneServed(); pol != nil && (pol.Wanted() || old.life.closed != child.EndExpired) {
			return pol
		}
		if before := old.succ.inPlaceOf(); before != nil && old.succ.fruitless() {
			return p.firstPolicy(before)
		}
	}
	mayBeUp := func(pol *child.Policy) bool {
		return !pol.Up() && !pol.Busy() && !pol.Held() && (pol.Wanted() || pol.Base() != child.IntentDown)
	}
	for _, meets := range []func(*child.Policy) bool{(*child.Policy).Due, mayBeUp} {
		if i := slices.IndexFunc(p.policies, meets); i >= 0 {
			return p.policies[i]
		}
	}
	return nil
}

func (x *authExchange) activity() ikeActivity { return ikeChildren }

func (x *authExchange) start(s *ikeSA) {
	idle := x.child == nil && !x.bare
	if idle && s.auth.alone {
		s.refuseAlone()
		return
	}
	if idle && s.succ.own != nil && s.party.main() != nil {
		s.close("its policy is up, or is no longer wanted")
		return
	}
	if idle {
		s.setupFailed(ownFault("no policy needs the peer any longer"))
		return
	}
	c, err := s.party.credential()
	if err == nil && x.child != nil {
		err = x.child.prepare(s, true)
	}
	if err != nil {
		s.setupFailed(ownFault(err.Error()))
		return
	}
	if x.child != nil {
		x.child.policy.Begin()
	}
	x.credential = c
	s.prove(c, s.party.cfg.LocalID, nil, func(made proof) {
		switch {
		case !s.holds(x):
		case made.err != nil:
			s.setupFailed(ownFault("cannot prove our identity: " + made.err.Error()))
		default:
			x.send(s, made.payloads)
		}
	})
}

// send sends the request with our AUTH, and what goes with it.
func (x *authExchange) send(s *ikeSA, made []wire.Payload) {
	ps := []wire.Payload{s.party.cfg.LocalID.Payload(false)}
	if !s.hasSibling() {
		ps = append(ps, &wire.Notify{Kind: wire.InitialContact})
	}
	if id := s.party.cfg.RemoteID; id.Data != "" && !id.IsPattern() {
		ps = append(ps, id.Payload(true))
	}
	ps = append(ps, x.credential.Ask()...)
	ps = append(ps, made...)
	s.auth.methods.Ours, x.proof = methodIn(made), proofIn(made)
	ps = append(ps, s.token.notify()...)
	if x.child != nil {
		ps = append(ps, x.child.payloads(s)...)
	}
	s.ask(wire.IKEAuth, append(ps, &wire.VendorID{Data: followsVendorID}))
}

func (x *authExchange) response(s *ikeSA, ps []wire.Payload) {
	n, failed := wire.FindError(ps)
	_, authentic := wire.Find[*wire.Auth](ps)
	refused := failed && !authentic
	switch {
	case s.state == saClosing && refused:
		s.end(child.EndLocal, "withdrawn, and refused by the peer")
		return
	case s.state == saClosing:
		s.done(x) // the Delete comes next
		return
	case refused:
		x.refused(s, n.Kind)
		return
	}
	x.verify(s, ps)
}

// verify checks the identity and the AUTH of the responder.
func (x *authExchange) verify(s *ikeSA, ps []wire.Payload) {
	idr, _ := wire.FindID(ps, true)
	auth, _ := wire.Find[*wire.Auth](ps)
	id, why := s.responderIs(idr)
	if why != "" {
		x.reject(s, x.proofFacts(s, id, ps, wrongIdentity(why)))
		return
	}
	if err := x.credential.Accepts(auth, ps); err != nil {
		x.reject(s, x.proofFacts(s, id, ps, wrongMethod("the peer "+err.Error())))
		return
	}
	x.verifying = true
	s.verify(x.credential, id, idr, ps, func(err error) {
		x.verifying = false
		switch {
		case !s.holds(x):
		case s.state == saClosing:
			s.done(x) // the Delete comes next
		case err != nil:
			x.reject(s, x.proofFacts(s, id, ps, err))
		default:
			x.accept(s, id, ps)
		}
	})
}

// accept establishes the IKE SA, with the Child SA if the response has one.
func (x *authExchange) accept(s *ikeSA, id identity.ID, ps []wire.Payload) {
	s.net.follows = saysItFollows(ps)
	s.net.confirm(abilitiesIn(ps))
	s.established(s.party, id)
	s.standBeside()
	s.auth.methods.Theirs = methodIn(ps)
	s.auth.listen(ps)
	s.token.take(ps)
	x.concludeChild(s, ps)
	if s.net.unsaid {
		s.net.announce()
	} else if carriageOf(s.net.Path) == overIP {
		s.net.tryESP()
	}
	s.done(x)
}

// refused ends the attempt. Who answered IKE_SA_INIT refuses it: no other response will come.
func (x *authExchange) refused(s *ikeSA, kind wire.NotifyType) {
	f := x.refusedFacts(s, kind)
	if kind != wire.AuthenticationFailed || !s.crossedCookie(f.Trouble().Reason) {
		s.setupFailed(f)
	}
}

// responderIs returns the responder's identity, and an empty string if it is the expected one, or
// else why it is not.
func (s *ikeSA) responderIs(idr *wire.ID) (id identity.ID, why string) {
	id, err := identity.FromPayload(idr)
	switch {
	case err != nil:
		return id, err.Error()
	case !id.Matches(s.party.cfg.RemoteID):
		theirs, expected := identity.Apart(id, s.party.cfg.RemoteID)
		return id, fmt.Sprintf("the peer identified itself as %s, but remote_id is %s", theirs, expected)
	}
	return id, ""
}

func (x *authExchange) abandon(s *ikeSA, why string) {
	if x.child != nil {
		x.child.abandon(s, why)
	}
}

// established enters the state in which both sides are authenticated.
func (s *ikeSA) established(p *party, id identity.ID) {
	e := s.e
	s.remoteID, s.remoteKey = id, id.Canonical()
	s.moveTo(saEstablished)
	s.setup, s.handshake = nil, nil
	e.sas.halfOpen.Authenticated(s.net.Remote().Addr())
	s.afterAuth = s.win.ExpectedID()
	s.life.established, s.life.since, s.life.line.since = e.handling.now, e.handling.now, e.handling.now
	e.timers.Stop(&s.life.hard)
	s.party = p
	if !slices.Contains(p.sas, s) {
		p.sas = append(p.sas, s)
	}
	if !s.initiator && !p.cfg.Local.IsValid() && e.cfg.LocalAddr != nil {
		s.net.system = e.cfg.LocalAddr(s.net.Remote().Addr())
	}
	s.notice(Info, "ike-up", fmt.Sprintf("IKE SA established with %s at %s", id, s.net.Remote()))
	s.life.schedule()
	s.auth.begin()
	s.live.begin()
	p.connected()
	e.unanswered.forget(p)
	e.answeredAt(s.net.Remote().Addr())
}
