package ike

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// The initiator's IKE_SA_INIT (RFC 7296, Sections 1.2, 2.6, 2.6.1 and 2.21.1):
//
//	HDR(A,0), SAi1, KEi, Ni, N(NAT-D) x 2  -->
//	                                       <--  HDR(A,B), SAr1, KEr, Nr, N(NAT-D) x 2
//
// or, all of them unprotected, so that anybody may have sent them:
//
//	          <--  HDR(A,0), N(COOKIE)               retried with the cookie in front
//	          <--  HDR(A,0), N(INVALID_KE_PAYLOAD)   retried with the other group
//	          <--  HDR(A,0), N(any other error)      noted, while we wait for a better response

const (
	// maxCookies, like maxGroups, bounds the retries that unprotected responses can cause.
	maxCookies = 4
	// refusalGrace is how long the initiator continues after an unprotected refusal, as RFC 7296,
	// Section 2.21.1, recommends.
	refusalGrace = 4 * time.Second
)

// initExchange is the IKE_SA_INIT exchange of an initiator.
type initExchange struct{}

// startInit starts an attempt to connect to remote.
func (s *ikeSA) startInit(remote netip.AddrPort) error {
	ni, err := s.e.nonce()
	if err != nil {
		return err
	}
	s.setup = &setup{nonces: noncePair{Ni: ni}, terms: s.party.terms()}
	s.setup.init.offers = proposal.Numbered(s.party.cfg.Proposals, nil)
	s.setup.init.group = proposal.Group(s.party.cfg.Proposals[0])
	s.setup.init.grace.Fire = s.graceOver
	s.setup.attempt = s.beginAttempt(remote.Addr())
	s.net.Path = s.net.firstPath(remote)
	if s.party.cfg.RemotePort == s.party.cfg.RemoteNATPort {
		s.net.float(s.party.profile) // IKE may begin at the NAT port (RFC 7296, Section 2.23)
	}
	if !s.party.cfg.Local.IsValid() {
		s.net.system = s.net.Local().Addr()
	}
	s.run(&initExchange{})
	return nil
}

func (x *initExchange) activity() ikeActivity { return ikeQuiet }

func (x *initExchange) start(s *ikeSA) {
	s.e.newKey(s.setup.init.group, func(k keyPair) {
		if !s.holds(x) {
			return
		}
		if k.err != nil {
			s.setupFailed(ownFault("cannot start the key exchange: " + k.err.Error()))
			return
		}
		s.setup.init.ke = k.ke
		s.setup.init.computing = false
		x.send(s)
	})
	s.setup.init.computing = true
}

// send sends the request in its present form. A retry is a new message with the same message ID.
func (x *initExchange) send(s *ikeSA) {
	su := s.setup
	var ps []wire.Payload
	if su.init.cookie != nil {
		ps = append(ps, &wire.Notify{Kind: wire.Cookie, Data: su.init.cookie})
	}
	ps = append(ps, &wire.SA{Proposals: su.init.offers}, &wire.KE{Group: su.init.group, Data: su.init.ke.Public()}, &wire.Nonce{Data: su.nonces.Ni})
	ps = append(ps, initNotifies(s.spi, s.net.Path, su.terms)...)
	ps = append(ps, s.ownAbilities().payload()...)
	ps = append(ps, s.party.announceCredential(true)...)
	m := wire.Message{Header: wire.Header{InitiatorSPI: s.spi.I, Exchange: wire.IKESAInit, Initiator: true}, Payloads: ps}
	su.request = m.AppendTo(nil)
	s.askRaw(wire.IKESAInit, [][]byte{su.request})
}

// initNotifies returns what both sides announce in IKE_SA_INIT: NAT detection and support of
// fragments.
func initNotifies(spi spiPair, path ipsec.Path, terms initTerms) []wire.Payload {
	var ps []wire.Payload
	if terms.encap != EncapNever {
		ps = append(ps, natNotifies(spi, path, terms.encap)...)
	}
	if terms.fragment > 0 {
		ps = append(ps, &wire.Notify{Kind: wire.FragmentationSupported})
	}
	return ps
}

// initResponse handles a response to our IKE_SA_INIT request. Nothing in it is authenticated.
func (s *ikeSA) initResponse(d Datagram, m *wire.Message) {
	x, ok := s.work.Current().(*initExchange)
	if !ok || s.setup.init.computing {
		s.e.count("ike_stale_response")
		return
	}
	if typ, critical := wire.UnsupportedCritical(m.Payloads); critical {
		s.malformedInit(fmt.Errorf("unsupported critical payload %v", typ))
		return
	}
	if err := checkPayloads(wire.IKESAInit, true, m.Payloads); err != nil {
		s.malformedInit(err)
		return
	}
	if n, ok := wire.FindNotify(m.Payloads, wire.Cookie); ok {
		x.cookieWanted(s, n.Data)
		return
	}
	if n, ok := wire.FindNotify(m.Payloads, wire.InvalidKEPayload); ok {
		x.groupWanted(s, n.Data)
		return
	}
	if n, ok := wire.FindError(m.Payloads); ok {
		s.refused(n.Kind)
		return
	}
	if err := x.accept(s, d, m); err != nil {
		s.e.count("ike_init_unacceptable")
		f := reason.Facts{Cause: reason.Unusable, Why: "unacceptable response to IKE_SA_INIT: " + err.Error()}
		if errors.Is(err, errChildful) {
			f.Cause = reason.Childless
		}
		s.suspect(f)
	}
}

// malformedInit notes that a response to IKE_SA_INIT cannot be read. A better one may come.
func (s *ikeSA) malformedInit(err error) {
	s.e.count("ike_malformed")
	s.suspect(reason.Facts{Cause: reason.Unusable, Why: "malformed response to IKE_SA_INIT: " + err.Error()})
}

// cookieWanted sends the request again with the cookie that the responder asks for.
func (x *initExchange) cookieWanted(s *ikeSA, cookie []byte) {
	su := s.setup
	if len(cookie) == 0 || len(cookie) > 64 || su.init.cookies == maxCookies {
		s.e.count("ike_cookie_ignored")
		if su.init.cookies == maxCookies {
			s.suspect(reason.Facts{Cause: reason.Cookie, Ours: reason.Offer{Times: maxCookies + 1}})
		}
		return
	}
	su.attempt.CookieWanted()
	su.init.cookies++
	su.init.cookie = cookie
	x.send(s)
}

// crossedCookie begins another attempt if the responder refused an AUTH that covers a request with
// a cookie, and reports whether it does. Its response may have been to the request before that one:
// the two cross when a copy of the earlier is answered by the cookie. Another refusal soon after is
// believed.
func (s *ikeSA) crossedCookie(why string) bool {
	if s.setup.init.cookies == 0 || !s.party.mayBeginAgain() {
		return false
	}
	s.beginAgain(why + "; or its response was to a request without a cookie")
	return true
}

// groupWanted starts again with the group that the responder asks for, if we offered it. All
// proposals are sent again, because the response was not authenticated (RFC 7296, Section 1.2).
func (x *initExchange) groupWanted(s *ikeSA, data []byte) {
	su := s.setup
	if err := su.init.correct(data, su.init.offers); err != nil {
		s.e.count("ike_group_ignored")
		if len(data) == 2 {
			s.suspect(su.init.groupFacts(reason.IKEProposal, wire.IKESAInit, data, su.init.offers))
		}
		return
	}
	s.win.Withdraw()
	s.e.timers.Stop(&s.retransmission)
	x.start(s)
}

// refused notes an unprotected error.
func (s *ikeSA) refused(kind wire.NotifyType) {
	f := reason.Facts{Cause: reason.Answered, In: wire.IKESAInit, Answer: kind}
	switch kind {
	case wire.NoProposalChosen:
		f.Cause, f.Ours.Proposals = reason.IKEProposal, s.party.cfg.Proposals
	case wire.InvalidMajorVersion:
		f.Cause = reason.Version
	}
	s.suspect(f)
}

// suspect notes why the attempt may fail, and limits the time that is left for it to refusalGrace.
func (s *ikeSA) suspect(f reason.Facts) {
	first := s.setup.refusal.Cause == ""
	s.setup.refusal = f
	s.e.touch(s.party)
	if first {
		s.e.after(&s.setup.init.grace, refusalGrace)
	}
}

// graceOver ends the attempt with the reason that suspect noted.
func (s *ikeSA) graceOver() {
	if s.state == saConnecting && !s.setup.init.computing {
		s.setupFailed(s.setup.refusal)
	}
}

// accept checks what the responder chose, and has the shared secret computed. If either fails, the
// response is not the peer's or the peer is broken, and we keep waiting for a better one.
func (x *initExchange) accept(s *ikeSA, d Datagram, m *wire.Message) error {
	su := s.setup
	sa, _ := wire.Find[*wire.SA](m.Payloads)
	ke, _ := wire.Find[*wire.KE](m.Payloads)
	nonce, _ := wire.Find[*wire.Nonce](m.Payloads)
	if err := su.init.check(m.ResponderSPI, sa, ke); err != nil {
		return err
	}
	if err := s.maySetUp(m.Payloads); err != nil {
		return err
	}
	if err := s.e.cfg.KE.Check(ke.Group, ke.Data); err != nil {
		s.e.count("ike_bad_key_exchange")
		return err
	}
	chosen := sa.Proposals[0]
	if s.net.beginsAgain() {
		return nil
	}
	response := append([]byte(nil), d.Data...)
	su.init.computing = true
	s.e.sharedKey(su.init.ke, ke.Data, func(k keyPair) {
		if !s.holds(x) {
			return
		}
		su.init.computing = false
		if k.err != nil {
			s.e.count("ike_bad_key_exchange")
			s.suspect(reason.Facts{Cause: reason.Unusable, Why: "invalid key exchange value from the peer: " + k.err.Error()})
			return
		}
		su.nonces.Nr, su.response = nonce.Data, response
		s.spi.R = m.ResponderSPI
		x.finish(s, d.Path, chosen, m.Payloads, k.shared)
	})
	return nil
}

// check reports what of a response does not answer our request.
func (o *initTry) check(spi wire.SPI, sa *wire.SA, ke *wire.KE) error {
	if spi == 0 {
		return errors.New("the responder's SPI is zero")
	}
	if n := len(sa.Proposals); n != 1 {
		return fmt.Errorf("it must choose one proposal, and chose %d", n)
	}
	chosen := sa.Proposals[0]
	if n := len(chosen.SPI); n != 0 {
		return fmt.Errorf("its proposal has an SPI of %d octets, and must have none in IKE_SA_INIT", n)
	}
	if err := proposal.CheckAnswer(o.offers, chosen); err != nil {
		return err
	}
	if proposal.Group(chosen) != o.group || ke.Group != o.group {
		return fmt.Errorf("we sent key exchange %s, and it uses %s", wire.GroupName(o.group), wire.GroupName(ke.Group))
	}
	return nil
}

// finish derives the keys and starts IKE_AUTH.
func (x *initExchange) finish(s *ikeSA, from ipsec.Path, chosen wire.Proposal, ps []wire.Payload, shared []byte) {
	keys, err := s.initKeys(chosen, shared)
	if err != nil {
		s.setupFailed(ownFault("cannot derive the keys: " + err.Error()))
		return
	}
	s.keys = keys
	s.e.timers.Stop(&s.setup.init.grace)
	s.answered()
	s.net.able = s.ownAbilities() & abilitiesIn(ps)
	s.net.detect(s.setup.terms.encap, from, ps)
	if _, ok := wire.FindNotify(ps, wire.FragmentationSupported); ok {
		s.keys.fragment = s.setup.terms.fragment
	}
	s.moveTo(saAuthenticating)
	s.run(newAuthExchange(s))
}

// response does nothing: initResponse handles the responses.
func (x *initExchange) response(*ikeSA, []wire.Payload) {}

func (x *initExchange) abandon(*ikeSA, string) {}
