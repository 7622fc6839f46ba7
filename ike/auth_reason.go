package ike

import (
	"errors"

	"culvert/ike/certificate"
	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// A proofError is why a proof of identity is not accepted before it is verified.
type proofError struct {
	cause reason.Cause
	text  string
}

func (p *proofError) Error() string { return p.text }

func wrongIdentity(text string) error { return &proofError{reason.Identity, text} }
func wrongMethod(text string) error   { return &proofError{reason.Method, text} }

// causeOf returns what of a proof is not accepted.
func causeOf(err error) reason.Cause {
	var early *proofError
	switch {
	case errors.As(err, &early):
		return early.cause
	case errors.Is(err, errSecret):
		return reason.Secret
	case errors.Is(err, errComputation):
		return reason.Own
	}
	return reason.Certificate
}

// proofIn returns by what the sender of the payloads proves who it is, in words.
func proofIn(ps []wire.Payload) string {
	switch m := methodIn(ps); {
	case m == 0:
		return ""
	case m == wire.AuthSharedKey:
		return reason.PSK
	case !certificate.IsSignature(m):
		return m.String()
	}
	for _, p := range ps {
		if c, ok := p.(*wire.Cert); ok && c.Encoding != wire.CertRawPublicKey {
			return reason.Cert
		}
	}
	return reason.Key
}

// idText returns an identity for people; "" for none.
func idText(id identity.ID) string {
	if id.Data == "" {
		return ""
	}
	return id.String()
}

// proofFacts are the facts of a proof of the responder, with the payloads ps, that is not accepted.
// id is its identity, if that could be read.
func (x *authExchange) proofFacts(s *ikeSA, id identity.ID, ps []wire.Payload, err error) reason.Facts {
	return reason.Facts{
		Cause: causeOf(err), Why: err.Error(), Ours: x.ourOffer(s), Theirs: reason.Offer{ID: idText(id), Proof: proofIn(ps)},
		Details: certificate.Lines(ps, err),
	}
}

// ourOffer is who we said that we are, and whom we expect.
func (x *authExchange) ourOffer(s *ikeSA) reason.Offer {
	cfg := &s.party.cfg
	return reason.Offer{ID: idText(cfg.LocalID), Proof: x.proof, Expects: idText(cfg.RemoteID)}
}

// refusedFacts are the facts of an error in place of the responder's proof.
func (x *authExchange) refusedFacts(s *ikeSA, kind wire.NotifyType) reason.Facts {
	f := reason.Facts{Cause: reason.Answered, In: wire.IKEAuth, Answer: kind}
	switch {
	case kind == wire.AuthenticationFailed:
		f.Cause, f.Ours = reason.Rejected, x.ourOffer(s)
	case x.child != nil && (kind == wire.NoProposalChosen || kind == wire.TSUnacceptable):
		f = x.child.facts(s, kind)
	}
	return f
}

// callerFacts are the facts of a proof of an initiator that is not accepted. claims is the peer
// that it named, or nil.
func (a *authAttempt) callerFacts(claims *profile, err error) reason.Facts {
	f := reason.Facts{Cause: causeOf(err), Why: err.Error(), Details: certificate.Lines(a.ps, err)}
	f.Theirs = reason.Offer{ID: idText(a.id), Proof: proofIn(a.ps)}
	if idr, ok := wire.FindID(a.ps, true); ok {
		if id, err := identity.FromPayload(idr); err == nil {
			f.Theirs.Expects = idText(id)
		}
	}
	if claims != nil {
		f.Ours = reason.Offer{ID: idText(claims.cfg.LocalID), Expects: idText(claims.cfg.RemoteID)}
	}
	return f
}

// rejected ends an IKE SA whose initiator does not accept our proof of identity, by what it told in
// INFORMATIONAL.
func (s *ikeSA) rejected(kind wire.NotifyType) {
	p := s.party
	f := reason.Facts{Cause: reason.Rejected, Answer: kind, Why: "the peer rejected our authentication with " + kind.String()}
	f.Ours = reason.Offer{ID: idText(p.cfg.LocalID), Proof: s.proofName(), Expects: idText(p.cfg.RemoteID)}
	f.Theirs = reason.Offer{ID: idText(s.remoteID)}
	t := f.Trouble()
	t.At = s.e.handling.now
	s.fails(eventAuthFailed, t)
	s.end(child.EndFailed, t.Reason)
	if p.main() == nil {
		p.Trouble = t
	}
}

// proofName returns by what we proved who we are, in words.
func (s *ikeSA) proofName() string {
	if s.auth.methods.Ours == wire.AuthSharedKey {
		return reason.PSK
	}
	return reason.Cert
}

// methodText returns the name of a method of authentication for people: IANA's, except where there
// is another.
func methodText(m wire.AuthMethod) string {
	if m == wire.AuthSharedKey {
		return "a pre-shared key"
	}
	return m.String()
}
