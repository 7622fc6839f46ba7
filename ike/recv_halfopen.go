package ike

import (
	"errors"

	"culvert/ike/budget"
	"culvert/ike/suite"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A message to a half-open IKE SA takes the same steps as one to an ikeSA, and nothing of it is
// kept before SK{} is opened. The first one has the keys derived, which then stay.

// find returns the half-open IKE SA of a message from its initiator, or nil.
func (t *halfOpens) find(h wire.Header) *halfOpen {
	half := t.bySPI[h.ResponderSPI]
	if half == nil || !h.Initiator || half.spis().I != h.InitiatorSPI {
		return nil
	}
	return half
}

// verdict judges a message to a half-open IKE SA, whose first request has been answered.
func (h *halfOpen) verdict(m wire.Header, data []byte) window.Verdict {
	if h.late != nil {
		return h.late.win.Judge(m, data)
	}
	var fresh window.Window[ipsec.Path]
	fresh.Begin()
	return fresh.Judge(m, data)
}

// expects reports whether a message may be the next one, or a copy of the one that was refused.
func (t *halfOpens) expects(half *halfOpen, h wire.Header) bool {
	switch {
	case h.Response || half.seed == 0:
		return false
	case half.refused():
		_, last := half.late.win.Last()
		return h.Exchange == last && half.late.win.IsLast(h.MessageID)
	}
	return t.begin().expects(h.Exchange)
}

// message handles a message to a half-open IKE SA.
func (t *halfOpens) message(half *halfOpen, d Datagram, h wire.Header) {
	if !t.expects(half, h) {
		t.e.count("ike_unexpected_exchange")
		return
	}
	switch half.verdict(h, d.Data) {
	case window.Next:
	case window.Copy:
		t.e.count("ike_duplicate_request")
		t.e.transmit(d.Path, half.late.win.Repeat(d.Path, half.path))
		return
	default:
		t.e.count("ike_message_id")
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		t.e.count("ike_malformed")
		return
	}
	if !isProtected(m) || !allUnknown(m.Payloads[:len(m.Payloads)-1]) {
		t.e.count("ike_unprotected")
		return
	}
	if !t.late(half) {
		t.e.count("ike_half_open_limit")
		return
	}
	t.open(half, d, m)
}

// late derives the keys of a half-open IKE SA, unless that was done. It reports false if its
// address has no room for them: the message counts as lost, and the peer sends it again.
func (t *halfOpens) late(half *halfOpen) bool {
	if half.late != nil {
		return true
	}
	half.late = &lateHalfOpen{}
	if !t.hold(half) {
		half.late = nil
		return false
	}
	keys, err := t.keys(half, parsedRequest(half.requestData()))
	if err != nil {
		half.late = nil // no message may find it without keys
		panic("ike: internal error: the keys of a half-open IKE SA: " + err.Error())
	}
	half.late.keys = keys
	half.late.win.Begin()
	return true
}

// open opens a protected message, and handles it once it is whole.
func (t *halfOpens) open(half *halfOpen, d Datagram, m *wire.Message) {
	digest, outer := digestOf(d.Data), m.Payloads[:len(m.Payloads)-1]
	var ps []wire.Payload
	var err error
	if f, ok := wire.Find[*wire.EncryptedFragment](m.Payloads); ok {
		var whole bool
		if ps, digest, whole, err = t.collect(half, d, outer, f); !whole {
			return
		}
	} else {
		encrypted, _ := wire.Find[*wire.Encrypted](m.Payloads)
		ps, err = half.late.keys.in.Open(d.Data, encrypted)
		ps = append(outer, ps...)
	}
	if errors.Is(err, suite.ErrAuth) {
		t.e.count("ike_auth_failed")
		return
	}
	if s := t.promote(half); s != nil {
		s.opened(d, m.Header, digest, ps, err)
	}
}

// collect opens a fragment and keeps it, if it is authentic. It returns the payloads once the
// message is whole, or what is malformed in it, or outer, those before SKF{}, if one is critical.
func (t *halfOpens) collect(half *halfOpen, d Datagram, outer []wire.Payload, f *wire.EncryptedFragment) (ps []wire.Payload, digest [32]byte, whole bool, err error) {
	r, digest := half.late.win.Fragments(wire.Header{}), digestOf(d.Data)
	if half.fragment == 0 || !r.Wants(f) {
		t.e.count("ike_fragment_refused")
		return nil, digest, false, nil
	}
	plain, err := half.late.keys.in.OpenFragment(d.Data, f)
	_, critical := wire.UnsupportedCritical(outer)
	switch {
	case errors.Is(err, suite.ErrAuth):
		t.e.count("ike_auth_failed")
		return nil, digest, false, nil
	case err != nil, critical:
		return outer, digest, true, err
	}
	m, whole := r.Add(f, plain, digest, budget.MaxMessage)
	if !t.hold(half) {
		t.e.count("ike_fragment_refused")
		r.Reset()
		t.hold(half)
		return nil, digest, false, nil
	}
	if !whole {
		return nil, digest, false, nil
	}
	ps, err = wire.ParsePayloads(m.First, m.Plain)
	return ps, m.Digest, true, err
}

// promote makes an ikeSA of a half-open IKE SA, for as long as the first message that its keys
// protect is handled, and gives it the keys. SKEYSEED is then of no more use, and is cleared. It
// returns nil if the limits do not allow it.
func (t *halfOpens) promote(half *halfOpen) *ikeSA {
	e, late := t.e, half.late
	s := e.saOf(false, saHalfOpen, half.spi)
	s.setup = &setup{request: half.requestData()}
	late.sa = s
	if !t.hold(half) {
		late.sa = nil
		t.hold(half)
		e.count("ike_half_open_limit")
		delete(e.sas.bySPI, half.spi)
		return nil
	}
	s.spi, s.half = half.spis(), half
	s.life.born = t.clock.Add(half.since)
	s.life.line.begun = s.life.born
	s.net.Path = half.path
	request := parsedRequest(s.setup.request)
	s.net.able = half.able & abilitiesIn(request)
	s.net.detect(half.said.encap(), half.path, request)
	s.keys, late.keys = late.keys, saKeys{}
	e.tellKeys(s.spi, &s.keys)
	clear(half.skeyseed())
	s.setup.nonces, s.setup.response = s.keys.nonces, t.response(half)
	s.handshake = t.begin()
	s.win.Begin()
	s.live.noteSent()
	return s
}
