package ike

import "cmp"

// initTerms are what IKE_SA_INIT announces beside proposals. A responder does not know its caller
// yet, so it announces whatever one of the possible callers may need (termsTable), and IKE_AUTH
// narrows that to what the caller's entry allows.
type initTerms struct {
	encap    EncapMode // EncapNever: no NAT detection; EncapAlways: the other side is to see a NAT
	fragment int       // size of IKE fragments in octets; 0: they are not announced
	// childless: a responder announces that it makes IKE SAs without a Child SA.
	childless bool
}

// terms returns those of one peer.
func (p *profile) terms() initTerms {
	return initTerms{encap: p.cfg.Encap, fragment: p.cfg.Fragment, childless: p.cfg.Childless != ChildlessNever}
}

// or returns terms under which the peers of both can connect. UDP encapsulation works wherever NAT
// detection does, so a peer that demands it prevails. Of two sizes of fragments the smaller one
// passes for both.
func (t initTerms) or(u initTerms) initTerms {
	switch {
	case t.encap == EncapAlways || u.encap == EncapAlways:
		t.encap = EncapAlways
	case t.encap == EncapAuto || u.encap == EncapAuto:
		t.encap = EncapAuto
	}
	if t.fragment == 0 || u.fragment > 0 && u.fragment < t.fragment {
		t.fragment = u.fragment
	}
	t.childless = t.childless || u.childless
	return t
}

// termsTable counts the peers by their terms. They are few, because peers share them.
type termsTable map[initTerms]int

// count adds a peer (n = 1) or removes it (n = -1).
func (t termsTable) count(p *profile, n int) {
	key := p.terms()
	if t[key] += n; t[key] == 0 {
		delete(t, key)
	}
}

// union returns the terms of all peers of the table together with others.
func (t termsTable) union(others ...initTerms) initTerms {
	all := initTerms{encap: EncapNever}
	for key := range t {
		all = all.or(key)
	}
	for _, key := range others {
		all = all.or(key)
	}
	return all
}

// maxKnown bounds the peers of one address whose terms are looked at.
const maxKnown = 16

// termsFor returns the terms for a caller at an address that known peers have: it is one of them,
// or one without an address, or, if there are neither, any peer that has moved.
func (t *peerTable) termsFor(known []*profile) initTerms {
	var list []initTerms
	for _, p := range known[:min(len(known), maxKnown)] {
		list = append(list, p.terms())
	}
	if len(t.anywhere) == 0 && len(known) == 0 {
		return t.terms[1].union()
	}
	return t.terms[0].union(list...)
}

// receivesFragments is the size of the fragments of an IKE SA that only receives them: its caller
// may send what was announced (RFC 7383, Section 2.3).
const receivesFragments = -1

// narrow limits what was announced to what the entry of the caller, which is known now, allows. An
// entry that demands UDP encapsulation has had the peer see a NAT, unless a reload has made it
// meanwhile: the peer would not encapsulate.
func (s *ikeSA) narrow(p *profile) {
	s.net.able &= p.terms().abilities()
	if p.cfg.Encap == EncapNever {
		s.net.encap = encapImpossible
	}
	s.net.tie()
	if s.keys.fragment > 0 {
		s.keys.fragment = cmp.Or(p.cfg.Fragment, receivesFragments)
	}
}
