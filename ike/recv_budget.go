package ike

import (
	"crypto/sha256"

	"culvert/ike/budget"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// chargeFragments charges an IKE SA before its authentication for the fragments that it holds. If
// its address, or all, hold too many, it drops those of the IKE SA and returns false; the peer
// sends them again.
func (s *ikeSA) chargeFragments(r *window.Reassembly) bool {
	if s.e.sas.halfOpen.hold(s.half) {
		return true
	}
	r.Reset()
	s.e.sas.halfOpen.hold(s.half)
	return false
}

// request takes an authentic request as far as the accounts of the party and of its entry allow.
// A CREATE_CHILD_SA that they do not allow is refused with TEMPORARY_FAILURE, after which the peer
// tries again later (RFC 7296, Section 2.25). Another request, or one that they do not even allow
// an answer to, is not accepted, as if it had been lost: the peer repeats it.
func (s *ikeSA) request(d Datagram, h wire.Header, digest [sha256.Size]byte, ps []wire.Payload, err error) {
	if !s.admitProof(ps) {
		s.e.count("ike_half_open_limit")
		return
	}
	cost := s.costOf(h.Exchange, ps)
	within := s.charge(cost)
	if !within && (h.Exchange != wire.CreateChildSA || !s.charge(budget.Cheap)) {
		s.e.count("ike_over_budget_later")
		return
	}
	s.win.Accept(d.Path, digest, h.Exchange)
	if !within {
		s.e.count("ike_over_budget")
		s.conclude(nil, refuse(wire.TemporaryFailure, "the peer asks for too much at once"))
		return
	}
	s.takeRequest(d, h, ps, err)
}

// charge charges the party and its entry, and reports whether they could afford it. Before
// authentication there is nothing to charge: what strangers cost is limited by address.
func (s *ikeSA) charge(c budget.Cost) bool {
	return s.party == nil || budget.Charge(s.e.handling.now, &s.party.account, &s.party.profile.account, c)
}

// dearProof is how many octets of certificates take milliseconds to verify: with long RSA keys.
// Chains of usual keys have less.
const dearProof = 8 << 10

// isDear reports whether the payloads have certificates that take long to verify.
func isDear(ps []wire.Payload) bool {
	octets := 0
	for _, p := range ps {
		if c, ok := p.(*wire.Cert); ok {
			octets += len(c.Data)
		}
	}
	return octets > dearProof
}

// admitProof reports whether a request before authentication may be verified now: if that takes
// long, as far as the computations of the like that are under way allow it.
func (s *ikeSA) admitProof(ps []wire.Payload) bool {
	if s.half == nil || !isDear(ps) {
		return true
	}
	from := s.half.path.Remote().Addr()
	return s.e.sas.halfOpen.AdmitsDear(from, s.e.peers.configured(from))
}

// costOf returns what a request costs.
func (s *ikeSA) costOf(ex wire.ExchangeType, ps []wire.Payload) budget.Cost {
	if ex != wire.CreateChildSA {
		return budget.Cost{Control: weight(ps)}
	}
	ke, ok := wire.Find[*wire.KE](ps)
	switch {
	case !ok:
		return budget.Negotiate
	case s.e.cfg.KE.Dear(ke.Group):
		return budget.Dear
	}
	return budget.Exchange
}

// weight returns how often the time of a short request one with these payloads takes.
func weight(ps []wire.Payload) int {
	const asLong, payload = 256, 16 // SPIs that take as long as a short request, and as a payload
	spis := 0
	for _, p := range ps {
		if d, ok := p.(*wire.Delete); ok {
			spis += len(d.SPIs)
		}
	}
	return budget.Cheap.Control * (1 + (payload*len(ps)+spis)/asLong)
}

// checkPublic refuses a public value of the peer that no correct implementation sends, before
// anything is computed for it.
func (s *ikeSA) checkPublic(ke *wire.KE) error {
	err := s.e.cfg.KE.Check(ke.Group, ke.Data)
	if err == nil {
		return nil
	}
	s.e.count("ike_bad_key_exchange")
	return fatal(wire.InvalidSyntax, "the key exchange value is invalid: "+err.Error())
}
