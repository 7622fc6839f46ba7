package ike

import (
	"fmt"
	"time"

	"culvert/ike/certificate"
	"culvert/ike/identity"
	"culvert/ike/suite"
	"culvert/ike/wire"
)

// A Credential proves to the peer who this side is, and verifies who the peer is, in IKE_AUTH (RFC
// 7296, Section 2.15): a pre-shared key (PSK), certificates and signatures (Certificates), one for
// each side (sides), or a choice of several (either).
//
// One value serves all IKE SAs of a peer and does not change. Init, Ask, Accepts and Slow are
// called in Handle and must be quick. Prove and Verify are as well, unless Slow reports true: then
// they run elsewhere, as by Compute, and several at a time.
type Credential interface {
	// Init returns the payloads that a side with the credential adds to its message of IKE_SA_INIT.
	// The responder's may be those of several credentials, merged: it does not know its caller yet.
	Init(initiator bool) []wire.Payload
	// Ask returns the payloads that an initiator adds to its request of IKE_AUTH so that the
	// responder proves itself as it should.
	Ask() []wire.Payload
	// Prove returns the AUTH payload of this side, behind the payloads that go with it.
	Prove(a *Authentication) ([]wire.Payload, error)
	// Accepts returns nil if Verify may succeed, by what IKE_AUTH carries alone. The error
	// continues a sentence that begins with the name of the peer.
	Accepts(auth *wire.Auth, ps []wire.Payload) error
	// Verify returns an error unless the peer has proved that it has the identity. What is left to
	// find out from the network is in online, unless that is nil: it runs elsewhere, takes seconds,
	// and decides.
	Verify(a *Authentication) (online func() error, err error)
	// Slow reports whether Prove and Verify take longer than an engine may wait.
	Slow() bool
}

// An Authentication is what there is to prove, or to verify, about one side. It is not changed.
type Authentication struct {
	ID     identity.ID         // of the side that proves itself
	Signed *suite.SignedOctets // by that side
	Now    time.Time
	// Own and Peer are our message of IKE_SA_INIT and the peer's, as sent.
	Own, Peer []byte
	// Auth are the payloads of the peer's message of IKE_AUTH. An initiator that proves itself has
	// none yet.
	Auth []wire.Payload
}

// auth returns the AUTH payload of the peer.
func (a *Authentication) auth() *wire.Auth {
	auth, _ := wire.Find[*wire.Auth](a.Auth)
	return auth
}

// credential returns the peer's credential. It is an error if the configuration has none for one of
// the sides.
func (p *profile) credential() (Credential, error) {
	if p.cfg.Credential != nil {
		return p.cfg.Credential, nil
	}
	own, peers := p.cfg.credentials()
	_, proves := own.(*Certificates)
	_, verifies := peers.(*Certificates)
	switch {
	case own == nil || peers == nil:
		return nil, fmt.Errorf("peer %q has no pre-shared key, nor a certificate in place of it", p.cfg.Name)
	case proves && verifies, isPSK(own) && isPSK(peers):
		return peers, nil
	}
	return sides{own, peers}, nil
}

// sides is the Credential of two methods: the sides need not have the same (RFC 7296, Section
// 2.15).
type sides struct{ own, peers Credential }

// Init implements Credential. What our method would accept of the peer does not count.
func (s sides) Init(initiator bool) []wire.Payload {
	own := certificate.WithoutMethods(s.own.Init(initiator))
	return decodeAnnouncement(mergeAnnouncements(encodeAnnouncement(own), encodeAnnouncement(s.peers.Init(initiator))))
}

// Ask implements Credential.
func (s sides) Ask() []wire.Payload { return s.peers.Ask() }

// Prove implements Credential.
func (s sides) Prove(a *Authentication) ([]wire.Payload, error) { return s.own.Prove(a) }

// Accepts implements Credential.
func (s sides) Accepts(auth *wire.Auth, ps []wire.Payload) error { return s.peers.Accepts(auth, ps) }

// Verify implements Credential.
func (s sides) Verify(a *Authentication) (func() error, error) { return s.peers.Verify(a) }

// Slow implements Credential.
func (s sides) Slow() bool { return s.own.Slow() || s.peers.Slow() }

// announceCredential returns the payloads of the peer's credential in IKE_SA_INIT.
func (p *profile) announceCredential(initiator bool) []wire.Payload {
	if c, err := p.credential(); err == nil {
		return c.Init(initiator)
	}
	return nil
}

// proof is the result of a Prove.
type proof struct {
	payloads []wire.Payload
	err      error
}

// prove has c make this side's AUTH payload, for the peer's payloads of IKE_AUTH. then is called
// with it, at once or by a later Handle. The payloads must not be changed until then. A responder
// calls it once the initiator has proved its own identity.
func (s *ikeSA) prove(c Credential, own identity.ID, ps []wire.Payload, then func(proof)) {
	a := s.authentication(s.initiator, own, own.Payload(!s.initiator), ps)
	run := func() any {
		made, err := c.Prove(a)
		return proof{made, err}
	}
	s.carryOut(c.Slow(), Compute{Run: run, Proved: !s.initiator}, func(v any) {
		p, ok := v.(proof)
		if !ok {
			p.err = errComputation
		}
		then(p)
	})
}

// verify has c check the AUTH payload of the other side, whose identity is that of an ID payload.
// then is called with the result, at once or by a later Handle. The payloads must not be changed
// until then.
func (s *ikeSA) verify(c Credential, peer identity.ID, id *wire.ID, ps []wire.Payload, then func(error)) {
	a := s.authentication(!s.initiator, peer, id, ps)
	run := func() any {
		online, err := c.Verify(a)
		return verdict{online, err}
	}
	s.carryOut(c.Slow(), Compute{Run: run, Dear: isDear(ps)}, func(v any) {
		if got := verdictOf(v); got.err != nil || got.online == nil {
			then(got.err)
		} else {
			s.lookUp(got.online, then)
		}
	})
}

// lookUp has what Verify left to find out run where it may wait for the network. then is called
// with the result by a later Handle. The peer has proved its identity, so this is not what a
// stranger costs.
func (s *ikeSA) lookUp(online func() error, then func(error)) {
	run := func() any { return verdict{nil, online()} }
	s.e.beginFor(s, Compute{Run: run, Online: true}, func() {}, func(v any) { then(verdictOf(v).err) })
}

// authentication returns what one side has to prove, or to verify of the other: initiator is the
// role of the side that proves itself.
func (s *ikeSA) authentication(initiator bool, id identity.ID, payload *wire.ID, ps []wire.Payload) *Authentication {
	a := &Authentication{ID: id, Signed: s.signed(initiator, payload), Now: s.e.handling.now, Own: s.setup.response, Peer: s.setup.request, Auth: ps}
	if s.initiator {
		a.Own, a.Peer = a.Peer, a.Own
	}
	return a
}

// verdict is the result of a Verify, or of what it left to find out.
type verdict struct {
	online func() error
	err    error
}

// verdictOf returns the verdict in the value of a computation.
func verdictOf(v any) verdict {
	got, ok := v.(verdict)
	if !ok {
		got.err = errComputation
	}
	return got
}

// carryOut runs a computation, which has no ID yet, at once or, if it is slow, elsewhere; then is
// called with its value, unless the IKE SA has ended or no longer waits. What is computed for a
// newcomer is charged to its address.
func (s *ikeSA) carryOut(slow bool, c Compute, then func(any)) {
	if !slow {
		then(c.Run())
		return
	}
	end := func() {}
	if s.half != nil {
		from, newcomers := s.half.path.Remote().Addr(), &s.e.sas.halfOpen.Newcomers
		newcomers.Computing(from, 1, c.Dear)
		end = func() { newcomers.Computing(from, -1, c.Dear) }
	}
	s.e.beginFor(s, c, end, then)
}

// signed returns what one side's AUTH covers: its own first message, the other side's nonce and its
// own identity (RFC 7296, Section 2.15).
func (s *ikeSA) signed(initiator bool, id *wire.ID) *suite.SignedOctets {
	prf := s.keys.suite.Prf()
	if initiator {
		return &suite.SignedOctets{
			PRF: prf, FirstMessage: s.setup.request, PeerNonce: s.setup.nonces.Nr, MACedID: suite.MACedID(prf, s.keys.keys.Pi, id),
		}
	}
	return &suite.SignedOctets{
		PRF: prf, FirstMessage: s.setup.response, PeerNonce: s.setup.nonces.Ni, MACedID: suite.MACedID(prf, s.keys.keys.Pr, id),
	}
}
