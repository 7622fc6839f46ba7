package ike

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"culvert/ike/identity"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// authHandshake is the responder's side of IKE_AUTH. It ends with the IKE SA established.
type authHandshake struct{}

func (*authHandshake) expects(ex wire.ExchangeType) bool { return ex == wire.IKEAuth }

func (*authHandshake) rule() payloadRule { return ruleAuthRequest }

func (*authHandshake) abandon(*ikeSA) {}

// request verifies the initiator against one candidate after the other.
func (x *authHandshake) request(s *ikeSA, ps []wire.Payload) ([]wire.Payload, error) {
	a := &authAttempt{sa: s, ps: ps}
	a.idi, _ = wire.FindID(ps, false)
	a.auth, _ = wire.Find[*wire.Auth](ps)
	var err error
	if a.id, err = identity.FromPayload(a.idi); err != nil {
		return nil, a.notAuthentic(nil, wrongIdentity(err.Error()))
	}
	if a.list = a.candidates(); len(a.list) == 0 {
		return nil, a.nobody()
	}
	a.next()
	return nil, errPending
}

// claimed returns the peer that an initiator is likeliest to be by its identity alone, or nil.
func (s *ikeSA) claimed(idi *wire.ID, ps []wire.Payload) *profile {
	if idi == nil {
		return nil
	}
	id, err := identity.FromPayload(idi)
	if err != nil {
		return nil
	}
	a := &authAttempt{sa: s, ps: ps, id: id}
	if list := a.candidates(); len(list) > 0 {
		return list[0]
	}
	return nil
}

// nobody refuses an initiator whose identity no configured peer accepts.
func (a *authAttempt) nobody() error {
	s := a.sa
	known := s.e.peers.callers(s.net.Path, nil)
	if len(s.e.peers.byName) == 1 {
		known = []*profile{s.e.peers.likeliest(nil)}
	}
	if len(known) != 1 {
		return a.notAuthentic(nil, wrongIdentity(fmt.Sprintf("no configured peer accepts the identity %s", a.id)+expected(known)))
	}
	theirs, ours := identity.Apart(a.id, known[0].cfg.RemoteID)
	return a.refuse(nil, known[0], wrongIdentity(fmt.Sprintf("it identified itself as %s, but remote_id is %s", theirs, ours)))
}

// expected names some of the peers at the address of a caller.
func expected(known []*profile) string {
	const most = 3
	var list []string
	for _, p := range known[:min(len(known), most)] {
		list = append(list, identity.PrintableTo(p.cfg.RemoteID.String(), 60))
	}
	switch {
	case len(list) == 0:
		return ""
	case len(known) > most:
		list = append(list, "others")
	}
	return "; expected from its address: " + strings.Join(list, ", ")
}

// notAuthentic records that an initiator is refused, for a wrong proof or an unknown identity, and
// returns the error that ends the IKE SA. claims is the peer that it named, or nil.
func (a *authAttempt) notAuthentic(claims *profile, err error) error {
	return a.refuse(claims, claims, err)
}

// refuse is notAuthentic of a caller whom is expected instead, or nil.
func (a *authAttempt) refuse(claims, whom *profile, err error) error {
	s := a.sa
	s.e.count("ike_authentication_failed")
	c := call{from: s.net.Path, reached: true, claims: claims, event: eventAuthFailed}
	s.e.callRefused(c, func() reason.Facts { return a.callerFacts(whom, err) })
	return fatal(wire.AuthenticationFailed, err.Error())
}

// eventAuthFailed is the event of a wrong proof of identity.
const eventAuthFailed = "auth-failed"

// MaxCandidates bounds the configured peers that one initiator is verified against, and so those
// that are told apart by their secrets alone.
const MaxCandidates = 8

// An authAttempt is an initiator's request of IKE_AUTH during its verification.
type authAttempt struct {
	sa   *ikeSA
	ps   []wire.Payload
	id   identity.ID
	idi  *wire.ID
	auth *wire.Auth
	list []*profile // candidates, the likeliest first
	why  []error    // of the candidates that were tried, in the order of list
	held *hold      // of a candidate that it is, and that an operator holds down
}

// next tries the next candidate, or refuses the initiator if none is left.
func (a *authAttempt) next() {
	s := a.sa
	if len(a.why) == len(a.list) {
		if a.held != nil {
			s.conclude(nil, a.held.refuseCall(s))
			return
		}
		p := a.list[0] // its reason is the one to report
		s.conclude(nil, a.notAuthentic(p, a.why[0]))
		return
	}
	p := a.list[len(a.why)]
	c, err := p.credential()
	if err == nil {
		if err = c.Accepts(a.auth, a.ps); err != nil {
			err = wrongMethod(a.id.String() + " " + err.Error())
		}
	}
	if err != nil {
		a.failed(err)
		return
	}
	s.verify(c, a.id, a.idi, a.ps, func(err error) {
		switch {
		case s.state != saHalfOpen || p.removed:
			a.endHalfOpen()
		case err != nil:
			a.failed(err)
		default:
			a.prove(p, c)
		}
	})
}

// failed records why the current candidate is not the initiator, and tries the next one.
func (a *authAttempt) failed(err error) {
	a.why = append(a.why, err)
	a.next()
}

// endHalfOpen refuses an initiator whose peer was removed from the configuration during the
// verification. An IKE SA that has already ended stays as it is.
func (a *authAttempt) endHalfOpen() {
	if a.sa.state == saHalfOpen {
		a.sa.conclude(nil, a.notAuthentic(nil, wrongIdentity("the peer was removed from the configuration")))
	}
}

// prove makes this side's AUTH for the initiator, which is p.
func (a *authAttempt) prove(p *profile, c Credential) {
	s := a.sa
	s.prove(c, p.cfg.LocalID, a.ps, func(made proof) {
		switch {
		case s.state != saHalfOpen || p.removed:
			a.endHalfOpen()
		case made.err != nil:
			// The peer is authenticated, and learns no more than that it failed.
			s.e.count("ike_authentication_failed")
			p.party.cannotProve(made.err)
			s.conclude(nil, fatal(wire.AuthenticationFailed, made.err.Error()))
		case p.heldFrom(a.id) != nil:
			a.held = p.heldFrom(a.id)
			a.failed(errors.New(a.held.text()))
		default:
			a.accept(p, append([]wire.Payload{p.cfg.LocalID.Payload(true)}, made.payloads...))
		}
	})
}

// cannotProve records that this side could not authenticate itself to the party, which is
// authenticated.
func (p *party) cannotProve(err error) {
	t := ownFault("cannot prove our identity: " + err.Error()).Trouble()
	t.At = p.e.handling.now
	if p.Reason != t.Reason {
		p.fails(eventAuthFailed, t)
	}
	if p.main() == nil {
		p.Trouble = t
	}
}

// accept establishes the IKE SA and answers, with a Child SA if both sides agree on one.
func (a *authAttempt) accept(p *profile, answer []wire.Payload) {
	s := a.sa
	if p.isFull(a.id) {
		// Other errors would leave the initiator with an IKE SA (RFC 7296, Section 2.21.2).
		s.e.count("ike_too_many_parties")
		s.conclude(nil, fatal(wire.AuthenticationFailed, "there are too many parties"))
		return
	}
	s.narrow(p)
	s.auth.methods = AuthMethods{methodIn(answer), methodIn(a.ps)}
	s.net.follows = saysItFollows(a.ps)
	s.established(p.partyOf(a.id), a.id)
	s.token.take(a.ps)
	s.party.delayOwnChildren()
	made, child, err := new(childAnswer).inAuth(s, a.ps)
	var refusal *notifyError
	if errors.As(err, &refusal) {
		child = []wire.Payload{refusal.notify}
	}
	answer = slices.Concat(answer, s.token.notify(), child, s.auth.notify())
	s.answer(append(append(answer, &wire.VendorID{Data: followsVendorID}), s.net.confirmation()...))
	_, initial := wire.FindNotify(a.ps, wire.InitialContact)
	if made != nil {
		if !initial { // otherwise most of the duplicates are about to end
			s.party.settleDuplicates()
		}
		made.UseSoon()
		made.CameUp()
	}
	if initial {
		s.initialContact()
		s.party.settleDuplicates()
	}
	s.hintAbout()
	s.party.memory.align(&s.net)
	s.party.notTooMany(s)
}
