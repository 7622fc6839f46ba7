package ike

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"

	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/suite"
	"culvert/ike/wire"
)

// The responder's IKE_SA_INIT (RFC 7296, Sections 1.2, 2.1, 2.6 and 2.21.1). A refused request
// leaves no state, and every request gets at most one response, not much longer than itself.

// maxInit is the greatest length of a request in octets. The request is kept until IKE_AUTH, since
// AUTH covers it. "All IKEv2 implementations MUST be able to send, receive, and process IKE
// messages that are up to 1280 octets long, and they SHOULD be able [...] up to 3000 octets long"
// (RFC 7296, Section 2).
const maxInit = 8 << 10

// initRequest answers an IKE_SA_INIT request. It keeps state only if all of the request is
// acceptable.
func (e *Engine) initRequest(d Datagram, h wire.Header) {
	if !e.configured { // a refusal would make callers wait; a request without an answer comes again
		e.count("ike_not_configured")
		return
	}
	if h.MessageID != 0 || !h.Initiator || len(d.Data) > maxInit {
		e.count("ike_malformed")
		return
	}
	spi, before, err := e.sas.halfOpen.spisFor(d)
	if err != nil {
		e.count("ike_no_randomness")
		return
	}
	if e.sas.halfOpen.copied(d, spi, before) {
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		e.malformedInit(d, h, &wire.Notify{Kind: wire.InvalidSyntax}, err.Error)
		return
	}
	if typ, critical := wire.UnsupportedCritical(m.Payloads); critical {
		e.malformedInit(d, h, &wire.Notify{Kind: wire.UnsupportedCriticalPayload, Data: []byte{byte(typ)}}, func() string {
			return fmt.Sprintf("unsupported critical payload %v", typ)
		})
		return
	}
	if err := checkPayloads(wire.IKESAInit, false, m.Payloads); err != nil {
		e.malformedInit(d, h, &wire.Notify{Kind: wire.InvalidSyntax}, err.Error)
		return
	}
	if !e.admit(d, h, m) {
		return
	}
	e.halfOpen(d, m, spi)
}

// malformedInit refuses a request that no correct peer sends, within the limit of such errors, and
// records why.
func (e *Engine) malformedInit(d Datagram, h wire.Header, n *wire.Notify, why func() string) {
	e.count("ike_malformed")
	e.callRefused(call{from: d.Path, event: eventCallRefused}, func() reason.Facts {
		return reason.Facts{Cause: reason.Unusable, Why: "malformed IKE_SA_INIT request: " + why()}
	})
	if !e.unprotected.AllowError(e.handling.now) {
		e.count("ike_errors_limited")
		return
	}
	e.refuseInit(d, h, n.Kind, n.Data)
}

// admit checks a request against the limits, and asks for a cookie when many IKE SAs are half-open:
// "a responder [...] commits no state to an SA until it knows the initiator can receive packets at
// the address from which it claims to be sending them" (RFC 7296, Section 2.6).
func (e *Engine) admit(d Datagram, h wire.Header, m *wire.Message) bool {
	limits := e.cfg.Limits
	if e.stopping {
		return false
	}
	from := d.Path.Remote().Addr()
	if !e.sas.halfOpen.Admits(from, octetsOfHalfOpen+2*len(d.Data), e.peers.configured(from), limits.MaxHalfOpen) || len(e.sas.bySPI) >= limits.MaxIKESAs {
		e.count("ike_half_open_limit")
		return false
	}
	if !e.wantsCookie(d, m) {
		return true
	}
	nonce, _ := wire.Find[*wire.Nonce](m.Payloads)
	if n, ok := wire.FindNotify(m.Payloads, wire.Cookie); ok && e.unprotected.cookies.valid(e.handling.now, n.Data, nonce.Data, cookieSource(d.Path), h.InitiatorSPI) {
		return e.admitDear(m, from)
	}
	cookie, err := e.unprotected.cookies.make(e.handling.now, nonce.Data, cookieSource(d.Path), h.InitiatorSPI)
	if err != nil {
		e.count("ike_no_randomness")
		return false
	}
	e.count("ike_cookie_sent")
	e.refuseInit(d, h, wire.Cookie, cookie)
	return false
}

// admitDear drops a request for a dear group if strangers, or its network or host, have enough of
// those under way: the peer sends it again.
func (e *Engine) admitDear(m *wire.Message, from netip.Addr) bool {
	if ke, _ := wire.Find[*wire.KE](m.Payloads); e.cfg.KE.Dear(ke.Group) && !e.sas.halfOpen.AdmitsDear(from, e.peers.configured(from)) {
		e.count("ike_half_open_limit")
		return false
	}
	return true
}

// wantsCookie reports whether the request must come with a cookie: many IKE SAs are half-open,
// newcomers already wait for their computations, this one's computation is dear, or the response
// would be much longer than the request.
func (e *Engine) wantsCookie(d Datagram, m *wire.Message) bool {
	ke, _ := wire.Find[*wire.KE](m.Payloads)
	return e.sas.halfOpen.Busy(e.cfg.Limits.CookieThreshold) || e.cfg.KE.Dear(ke.Group) || amplifies(d, m.Payloads, announcedTo(d, m.Payloads, e.peers.announcementFor(e.peers.at(d.Path))))
}

// maxAmplification bounds the octets that somebody who sends from the address of another has us
// send there, for each octet of the request. A response without what credentials add to it is at
// most twice as long as its request.
const maxAmplification = 3

// octetsOfResponse is at least the length of a response but its Key Exchange Data and what
// credentials add to it.
const octetsOfResponse = 280

// amplifies reports whether the response with these payloads of credentials would be longer than
// maxAmplification allows to a source that may be spoofed, which that of a stream is not.
func amplifies(d Datagram, request []wire.Payload, added string) bool {
	ke, _ := wire.Find[*wire.KE](request)
	return !d.Path.Stream() && added != "" && octetsOfResponse+len(ke.Data)+len(added) > maxAmplification*len(d.Data)
}

// refuseInit answers an IKE_SA_INIT request with one notify. The responder's SPI is zero, since
// there is no IKE SA (RFC 7296, Section 2.6).
func (e *Engine) refuseInit(d Datagram, h wire.Header, kind wire.NotifyType, data []byte) {
	m := wire.Message{
		Header:   wire.Header{InitiatorSPI: h.InitiatorSPI, Exchange: wire.IKESAInit, Response: true, MessageID: h.MessageID},
		Payloads: []wire.Payload{&wire.Notify{Kind: kind, Data: data}},
	}
	e.transmit(d.Path, [][]byte{m.AppendTo(nil)})
}

// halfOpen chooses a proposal and creates a half-open IKE SA, if some configured peer accepts the
// request.
func (e *Engine) halfOpen(d Datagram, m *wire.Message, spi wire.SPI) {
	known := e.peers.at(d.Path)
	sa, _ := wire.Find[*wire.SA](m.Payloads)
	ke, _ := wire.Find[*wire.KE](m.Payloads)
	theirs := proposal.WithSPISize(sa.Proposals, 0)
	chosen, ok := e.peers.choose(known, theirs)
	if !ok {
		e.noProposal(d, m.Header, known, theirs)
		return
	}
	if group := proposal.Group(chosen); ke.Group != group {
		e.count("ike_invalid_ke")
		e.refuseInit(d, m.Header, wire.InvalidKEPayload, binary.BigEndian.AppendUint16(nil, uint16(group)))
		return
	}
	if err := e.cfg.KE.Check(ke.Group, ke.Data); err != nil {
		e.badKeyExchange(d, m.Header, err)
		return
	}
	e.hintAt(d.Path.Remote().Addr()) // it may have restarted
	nr, err := e.nonce()
	if err != nil {
		e.count("ike_no_randomness")
		return
	}
	h := &halfOpen{path: d.Path, spi: spi, announced: e.sas.halfOpen.announced.keep(announcedTo(d, m.Payloads, e.peers.announcementFor(known)))}
	h.setRequest(d.Data, nr, chosen)
	h.setTerms(e.peers.termsFor(known), m.Payloads)
	h.able &= e.able
	e.sas.halfOpen.insert(h)
	e.sas.halfOpen.compute(h, m)
}

// noProposal refuses a request without an acceptable proposal, and records why; known are the peers
// with the caller's address.
func (e *Engine) noProposal(d Datagram, h wire.Header, known []*profile, theirs []wire.Proposal) {
	e.count("ike_no_proposal_chosen")
	e.callRefused(call{from: d.Path, event: eventCallRefused}, func() reason.Facts {
		var ours []wire.Proposal
		for _, p := range known[:min(len(known), maxKnown)] {
			ours = append(ours, p.cfg.Proposals...)
		}
		if len(ours) == 0 {
			ours = e.peers.proposals
		}
		return reason.Facts{Cause: reason.IKEProposal, Ours: reason.Offer{Proposals: proposal.Distinct(ours)}, Theirs: reason.Offer{Proposals: theirs}}
	})
	e.refuseInit(d, h, wire.NoProposalChosen, nil)
}

// compute makes the keys of a half-open IKE SA, and sends the response.
func (t *halfOpens) compute(h *halfOpen, m *wire.Message) {
	ke, _ := wire.Find[*wire.KE](m.Payloads)
	nonce, _ := wire.Find[*wire.Nonce](m.Payloads)
	header, from, dear := m.Header, h.path.Remote().Addr(), t.e.cfg.KE.Dear(ke.Group)
	t.Computing(from, 1, dear)
	t.e.answerKey(ke.Group, ke.Data, func(k keyPair) {
		defer clear(k.shared)
		t.Computing(from, -1, dear)
		if t.bySPI[h.spi] != h {
			return
		}
		su, err := suite.NewIKESuite(h.chosen())
		if k.err == nil {
			k.err = err
		}
		if k.err != nil {
			// The half-open IKE SA stays until its time is up: its source goes on to be charged.
			t.e.badKeyExchange(Datagram{Path: h.path}, header, k.err)
			return
		}
		h.setKey(k.public, su.SKEYSEED(nonce.Data, h.nonce(), k.shared))
		t.hold(h)
		t.e.transmit(h.path, [][]byte{t.response(h)})
	})
}

// badKeyExchange refuses a request for its Key Exchange Data.
func (e *Engine) badKeyExchange(d Datagram, h wire.Header, err error) {
	e.count("ike_bad_key_exchange")
	e.callRefused(call{from: d.Path, event: eventCallRefused}, func() reason.Facts {
		return reason.Facts{Cause: reason.Unusable, Why: "IKE_SA_INIT request: " + err.Error()}
	})
	if !e.unprotected.AllowError(e.handling.now) {
		e.count("ike_errors_limited")
		return
	}
	e.refuseInit(d, h, wire.InvalidSyntax, nil)
}

// digestOf returns the digest by which a copy of a request is recognised.
func digestOf(data []byte) [32]byte { return sha256.Sum256(data) }
