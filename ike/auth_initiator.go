package ike

import (
	"fmt"
	"slices"

	"culvert/ike/identity"
	"culvert/ike/suite"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// IKE_AUTH with pre-shared keys (RFC 7296, Sections 1.2, 2.15 and 2.21.2):
//
//	HDR, SK {IDi, [N(INITIAL_CONTACT),] [IDr,] AUTH, SAi2, TSi, TSr}  -->
//	                                                                  <--  HDR, SK {IDr, AUTH, SAr2, TSi, TSr}
//	                                                                  <--  HDR, SK {IDr, AUTH, N(why no Child SA)}
//	                                                                  <--  HDR, SK {N(AUTHENTICATION_FAILED)}

// authExchange is the initiator's side.
type authExchange struct{ child *childOffer }

// newAuthExchange takes the first policy that is wanted along.
func newAuthExchange(s *ikeSA) *authExchange {
	x := &authExchange{}
	pols := s.peer.policies
	for _, pol := range pols {
		if pol.due(s.e.handling.now) {
			x.child = &childOffer{policy: pol}
			return x
		}
	}
	// What asked for the connection may have been withdrawn meanwhile, but the exchange needs a Child SA.
	if i := slices.IndexFunc(pols, func(pol *policy) bool { return !pol.up() && !pol.busy }); i >= 0 {
		x.child = &childOffer{policy: pols[i]}
	}
	return x
}

func (x *authExchange) activity() ikeActivity { return ikeChildren }

func (x *authExchange) start(s *ikeSA) {
	if x.child == nil {
		s.setupFailed("nothing is wanted of the peer any more", nil, false)
		return
	}
	psk, err := s.peer.pskOf()
	if err == nil {
		err = x.child.prepare(s, true)
	}
	if err != nil {
		s.setupFailed(err.Error(), nil, false)
		return
	}
	x.child.policy.busy = true
	idi := s.peer.cfg.LocalID.Payload(false)
	ps := []wire.Payload{idi}
	if !s.peer.hasOther(s) {
		ps = append(ps, &wire.Notify{Kind: wire.InitialContact})
	}
	if id := s.peer.cfg.RemoteID; id.Data != "" && !id.IsPattern() {
		ps = append(ps, id.Payload(true))
	}
	ps = append(ps, &wire.Auth{Method: wire.AuthSharedKey, Data: s.ourAuth(psk, idi)})
	ps = append(ps, x.child.payloads(s)...)
	s.ask(wire.IKEAuth, append(ps, &wire.VendorID{Data: followsVendorID}))
}

// ourAuth and theirAuthOK make and check the Authentication Data of the two sides.
func (s *ikeSA) ourAuth(psk []byte, id *wire.ID) []byte {
	return s.signed(s.initiator, id).PSKAuth(psk)
}

func (s *ikeSA) theirAuthOK(psk, data []byte, id *wire.ID) bool {
	return s.signed(!s.initiator, id).VerifyPSKAuth(data, psk)
}

// signed is what one side's AUTH covers: its own first message and the other's nonce, among others (RFC 7296, Section 2.15).
func (s *ikeSA) signed(initiator bool, id *wire.ID) *suite.SignedOctets {
	o := &suite.SignedOctets{PRF: s.keys.suite.Prf(), ID: id}
	if initiator {
		o.FirstMessage, o.PeerNonce, o.SKp = s.setup.request, s.setup.nonces.Nr, s.keys.keys.Pi
	} else {
		o.FirstMessage, o.PeerNonce, o.SKp = s.setup.response, s.setup.nonces.Ni, s.keys.keys.Pr
	}
	return o
}

// hasOther says whether another IKE SA with the peer is established, so that INITIAL_CONTACT would be untrue.
func (p *peer) hasOther(s *ikeSA) bool {
	return slices.ContainsFunc(p.sas, func(o *ikeSA) bool { return o != s && o.state >= saEstablished && o.state < saDead })
}

func (x *authExchange) response(s *ikeSA, ps []wire.Payload) {
	n, failed := wire.FindError(ps)
	_, authentic := wire.Find[*wire.Auth](ps)
	refused := failed && !authentic
	switch {
	case s.state == saClosing && refused:
		s.end(endLocal, "withdrawn, and refused")
		return
	case s.state == saClosing:
		s.done(x) // the Delete comes next
		return
	case refused:
		x.refused(s, n.Kind)
		return
	}
	id, why := s.verifyResponder(ps)
	if why != "" {
		x.reject(s, why)
		return
	}
	s.net.follows = saysItFollows(ps)
	s.established(s.peer, id)
	if p := x.child.conclude(s, ps, s.keys.nonces, nil); p != nil {
		s.useNow(p)
		p.cameUp()
	}
	s.done(x)
}

// refused is a protected refusal. It comes from whoever answered IKE_SA_INIT; the answer to our question has come, and so there is nothing more to wait for.
func (x *authExchange) refused(s *ikeSA, kind wire.NotifyType) {
	why := fmt.Sprintf("the peer answered %v", kind)
	if kind == wire.AuthenticationFailed {
		why += ": the pre-shared key or the identities differ"
	}
	s.setupFailed(why, s.peer.explainIdentities(), false)
}

// explainIdentities is what we know of both sides' identities.
func (p *peer) explainIdentities() []string {
	return []string{"ours: " + p.cfg.LocalID.String(), "expected of the peer: " + p.cfg.RemoteID.String()}
}

// verifyResponder checks IDr and AUTH.
func (s *ikeSA) verifyResponder(ps []wire.Payload) (id identity.ID, why string) {
	idr, ok := wire.FindID(ps, true)
	auth, ok2 := wire.Find[*wire.Auth](ps)
	if !ok || !ok2 {
		return id, "the peer's answer has no identity or no authentication"
	}
	id, err := identity.FromPayload(idr)
	if err != nil {
		return id, err.Error()
	}
	if !id.Matches(s.peer.cfg.RemoteID) {
		return id, fmt.Sprintf("the peer is %s, and remote_id is %s", id, s.peer.cfg.RemoteID)
	}
	psk, err := s.peer.pskOf()
	if err != nil {
		return id, err.Error()
	}
	if auth.Method != wire.AuthSharedKey {
		return id, fmt.Sprintf("the peer authenticates with %v, not with a pre-shared key", auth.Method)
	}
	if !s.theirAuthOK(psk, auth.Data, idr) {
		return id, "the peer's authentication is wrong: the pre-shared keys differ"
	}
	return id, ""
}

// reject ends a try because the peer is not who it should be, and tells it so in an INFORMATIONAL
// exchange of its own (RFC 7296, Section 2.21.2).
func (x *authExchange) reject(s *ikeSA, why string) {
	s.e.count("ike_authentication_failed")
	x.child.abandon(s, why)
	x.child = nil
	s.notice(Warn, "auth-failed", why)
	s.peer.tryFailed(why, s.peer.explainIdentities(), false)
	s.moveTo(saClosing)
	s.work.current = nil
	s.run(&informational{kind: askClose, payloads: []wire.Payload{&wire.Notify{Kind: wire.AuthenticationFailed}}, cause: endFailed, why: why})
}

// withdraw forgets what was asked for, but waits for the answer.
func (x *authExchange) withdraw(s *ikeSA, why string) {
	x.abandon(s, why)
	x.child = nil
}

func (x *authExchange) abandon(s *ikeSA, why string) {
	if x.child != nil {
		x.child.abandon(s, why)
	}
}

// setupFailed ends a try of ours.
func (s *ikeSA) setupFailed(why string, explain []string, unanswered bool) {
	p := s.peer
	if p != nil && len(p.cfg.Remote) > 1 {
		why = s.net.remote.Addr().String() + ": " + why
	}
	s.abandonWork(why)
	s.remove()
	if p != nil {
		p.tryFailed(why, explain, unanswered)
	}
}

// established is the moment at which both sides are authenticated.
func (s *ikeSA) established(p *peer, id identity.ID) {
	e := s.e
	s.remoteID = id
	s.moveTo(saEstablished)
	s.setup = nil
	s.life.established, s.life.since = e.handling.now, e.handling.now
	e.timers.stop(&s.life.hard)
	s.peer = p
	if !slices.Contains(p.sas, s) {
		p.sas = append(p.sas, s)
	}
	if !s.initiator && !p.cfg.Local.IsValid() && e.cfg.LocalAddr != nil {
		s.net.system = e.cfg.LocalAddr(s.net.remote.Addr())
	}
	s.notice(Info, "ike-up", fmt.Sprintf("IKE SA established with %s at %s", id, s.net.remote))
	s.scheduleRekey()
	s.startLiveness()
	p.connected()
}

// unanswered ends an IKE SA whose request was sent as often as it may be.
func (s *ikeSA) unanswered(r *window.Request) {
	switch s.state {
	case saConnecting, saAuthenticating:
		why, explain := fmt.Sprintf("no answer to %v from %s", r.Exchange, s.net.remote), []string(nil)
		if s.setup.refusal.reason != "" {
			why, explain = s.setup.refusal.reason, s.setup.refusal.explain
		}
		s.setupFailed(why, explain, s.setup.refusal.reason == "")
	case saClosing:
		s.end(endLocal, "deleted; the peer did not answer")
	case saRekeyed:
		s.end(endReplaced, "rekeyed; the peer did not answer the deletion")
	case saEstablished:
		if s.moving() {
			s.notice(Warn, "peer-silent", fmt.Sprintf("the peer does not answer %v from our new address", r.Exchange))
			s.end(endMoved, "our address changed, and the peer does not answer")
			return
		}
		fallthrough
	default:
		s.e.count("ike_peer_dead")
		s.notice(Warn, "peer-dead", fmt.Sprintf("the peer does not answer %v any more", r.Exchange))
		s.end(endDead, "the peer does not answer")
	}
}
