package suite

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"path/filepath"
	"testing"

	"culvert/ike/wire"
)

// hexBytes are octets written in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// capture is the life of an IKE SA between two hosts with strongSwan 5.9.8: IKE_SA_INIT, IKE_AUTH
// with a PSK, rekeying of the Child SA, of the IKE SA, then of the Child SA by the other side, and
// the end. The secrets come from strongSwan's log.
type capture struct {
	IKE, ESP string
	PSK      hexBytes
	IKESAs   []capturedSA `json:"ike_sas"`
	Auth     []hexBytes   // the initiator's, the responder's
	Children []struct {
		Shared       hexBytes
		InitiatorKey hexBytes `json:"initiator_key"`
		ResponderKey hexBytes `json:"responder_key"`
	}
	Messages []hexBytes
}

type capturedSA struct {
	Shared, SKEYSEED hexBytes
	D                hexBytes `json:"sk_d"`
	Ai               hexBytes `json:"sk_ai"`
	Ar               hexBytes `json:"sk_ar"`
	Ei               hexBytes `json:"sk_ei"`
	Er               hexBytes `json:"sk_er"`
	Pi               hexBytes `json:"sk_pi"`
	Pr               hexBytes `json:"sk_pr"`
}

// replay derives everything from the messages and the shared secrets of the key exchanges alone,
// and compares the result with strongSwan's.
type replay struct {
	*testing.T
	capture
	sas      []*replaySA
	children int
	opened   int
}

// replaySA is one IKE SA of a replay.
type replaySA struct {
	suite        *IKESuite
	keys         *Keys
	spiI, spiR   wire.SPI
	fromI, fromR *Protector
	parts        []byte // of a fragmented message
	first        wire.PayloadType
	init         [2][]byte // the messages of IKE_SA_INIT
	request      []wire.Payload
}

func TestCaptured(t *testing.T) {
	files, err := filepath.Glob("testdata/*[0-9g].json")
	if err != nil || len(files) < 7 {
		t.Fatalf("captures: %q, %v", files, err)
	}
	for _, file := range files {
		if file == "testdata/rfc5903.json" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			r := replay{T: t}
			readJSON(t, file, &r.capture)
			for _, raw := range r.Messages {
				r.message(raw)
			}
			if len(r.sas) != 2 || r.children != 3 || r.opened != 16 {
				t.Errorf("replayed %d IKE SAs, %d Child SAs and %d messages; want 2, 3 and 16", len(r.sas), r.children, r.opened)
			}
		})
	}
}

func payload[P wire.Payload](t testing.TB, ps []wire.Payload) P {
	t.Helper()
	for _, p := range ps {
		if p, ok := p.(P); ok {
			return p
		}
	}
	t.Fatalf("no %T in %s", *new(P), wire.FormatPayloads(ps))
	return *new(P)
}

func has[P wire.Payload](ps []wire.Payload) bool {
	for _, p := range ps {
		if _, ok := p.(P); ok {
			return true
		}
	}
	return false
}

func (r *replay) message(raw []byte) {
	m, err := wire.Parse(raw)
	if err != nil {
		r.Fatal(err)
	}
	if m.Exchange == wire.IKESAInit {
		r.initExchange(m, raw)
		return
	}
	for _, sa := range r.sas {
		if sa.spiI == m.InitiatorSPI && sa.spiR == m.ResponderSPI {
			before := bytes.Clone(raw)
			if ps, complete := r.open(sa, m, raw); complete {
				r.opened++
				r.handle(sa, m, ps)
			}
			if !bytes.Equal(raw, before) {
				r.Error("opening a message changed it")
			}
			return
		}
	}
	r.Fatalf("a message of an unknown IKE SA: %v", m)
}

func (r *replay) open(sa *replaySA, m *wire.Message, raw []byte) ([]wire.Payload, bool) {
	p := sa.fromR
	if m.Initiator {
		p = sa.fromI
	}
	switch last := m.Payloads[len(m.Payloads)-1].(type) {
	case *wire.Encrypted:
		ps, err := p.Open(raw, last)
		if err != nil {
			r.Fatalf("%v: %v", m, err)
		}
		return ps, true
	case *wire.EncryptedFragment:
		part, err := p.OpenFragment(raw, last)
		if err != nil {
			r.Fatalf("%v: %v", m, err)
		}
		if last.Number == 1 {
			sa.parts, sa.first = nil, last.First
		}
		sa.parts = append(sa.parts, part...)
		if last.Number < last.Total {
			return nil, false
		}
		ps, err := wire.ParsePayloads(sa.first, sa.parts)
		if err != nil {
			r.Fatalf("%v: %v", m, err)
		}
		return ps, true
	}
	r.Fatalf("%v is not protected", m)
	return nil, false
}

func (r *replay) initExchange(m *wire.Message, raw []byte) {
	if !m.Response {
		r.sas = append(r.sas, &replaySA{init: [2][]byte{raw}, request: m.Payloads})
		return
	}
	sa := r.sas[0]
	sa.init[1] = raw
	sa.spiI, sa.spiR = m.InitiatorSPI, m.ResponderSPI
	chosen := payload[*wire.SA](r, m.Payloads).Proposals[0]
	var err error
	if sa.suite, err = NewIKESuite(chosen); err != nil {
		r.Fatal(err)
	}
	if got := IKEProposalName(chosen); got != r.IKE {
		r.Errorf("the proposal's name is %q, want %q", got, r.IKE)
	}
	ni, nr := sa.nonces(r, m.Payloads)
	r.derive(sa, sa.suite.SKEYSEED(ni, nr, r.IKESAs[0].Shared), ni, nr, r.IKESAs[0])
}

func (sa *replaySA) nonces(r *replay, response []wire.Payload) (ni, nr []byte) {
	return payload[*wire.Nonce](r, sa.request).Data, payload[*wire.Nonce](r, response).Data
}

func (r *replay) derive(sa *replaySA, skeyseed, ni, nr []byte, want capturedSA) {
	sa.keys = sa.suite.Keys(skeyseed, ni, nr, sa.spiI, sa.spiR)
	for _, k := range []struct {
		name      string
		got, want []byte
	}{
		{"SKEYSEED", skeyseed, want.SKEYSEED}, {"SK_d", sa.keys.D, want.D}, {"SK_ai", sa.keys.Ai, want.Ai}, {"SK_ar", sa.keys.Ar, want.Ar},
		{"SK_ei", sa.keys.Ei, want.Ei}, {"SK_er", sa.keys.Er, want.Er}, {"SK_pi", sa.keys.Pi, want.Pi}, {"SK_pr", sa.keys.Pr, want.Pr},
	} {
		if !bytes.Equal(k.got, k.want) {
			r.Errorf("%s is %x, want %x", k.name, k.got, k.want)
		}
	}
	var err error
	if sa.fromI, sa.fromR, err = sa.suite.Protectors(sa.keys, true, rand.Reader); err != nil {
		r.Fatal(err)
	}
}

func (r *replay) handle(sa *replaySA, m *wire.Message, ps []wire.Payload) {
	if !m.Response {
		if m.Exchange == wire.IKEAuth {
			r.auth(sa, m, ps)
		} else {
			sa.request = ps
		}
		return
	}
	switch {
	case m.Exchange == wire.IKEAuth:
		r.auth(sa, m, ps)
		init, _ := wire.Parse(sa.init[1])
		ni, nr := sa.nonces(r, init.Payloads)
		r.child(sa, ps, ni, nr)
	case m.Exchange == wire.CreateChildSA && payload[*wire.SA](r, ps).Proposals[0].Protocol == wire.ProtoESP:
		ni, nr := sa.nonces(r, ps)
		r.child(sa, ps, ni, nr)
	case m.Exchange == wire.CreateChildSA:
		r.rekey(sa, ps)
	}
}

// auth checks the AUTH payload of one side, and that it depends on each of its inputs.
func (r *replay) auth(sa *replaySA, m *wire.Message, ps []wire.Payload) {
	init, _ := wire.Parse(sa.init[1])
	peerNonce := payload[*wire.Nonce](r, init.Payloads).Data
	first, skp, want := sa.init[0], sa.keys.Pi, r.Auth[0]
	if m.Response {
		peerNonce, first, skp, want = payload[*wire.Nonce](r, sa.request).Data, sa.init[1], sa.keys.Pr, r.Auth[1]
	}
	got, prf := payload[*wire.Auth](r, ps), sa.suite.Prf()
	var id *wire.ID
	for _, p := range ps {
		if p, ok := p.(*wire.ID); ok && p.Responder == m.Response {
			id = p
		}
	}
	if !bytes.Equal(got.Data, want) || got.Method != wire.AuthSharedKey {
		r.Errorf("AUTH on the wire is %x, strongSwan logged %x", got.Data, want)
	}
	octets := SignedOctets{PRF: prf, FirstMessage: first, PeerNonce: peerNonce, MACedID: MACedID(prf, skp, id)}
	if mine := octets.PSKAuth(r.PSK); !bytes.Equal(mine, want) {
		r.Errorf("AUTH is %x, want %x", mine, want)
	}
	ingredients := [][]byte{got.Data, r.PSK, first, peerNonce, skp, id.Data}
	verify := func(x [][]byte) bool {
		o := SignedOctets{PRF: prf, FirstMessage: x[2], PeerNonce: x[3], MACedID: MACedID(prf, x[4], &wire.ID{IDType: id.IDType, Data: x[5]})}
		return o.VerifyPSKAuth(x[0], x[1])
	}
	if !verify(ingredients) {
		r.Error("AUTH does not verify")
	}
	for i := range ingredients {
		bad := append([][]byte(nil), ingredients...)
		bad[i] = bytes.Clone(bad[i])
		bad[i][len(bad[i])-1] ^= 1
		if verify(bad) {
			r.Errorf("AUTH verifies with ingredient %d changed", i)
		}
		if bad[i] = nil; verify(bad) {
			r.Errorf("AUTH verifies without ingredient %d", i)
		}
	}
}

func (r *replay) child(sa *replaySA, response []wire.Payload, ni, nr []byte) {
	want := r.Children[r.children]
	r.children++
	chosen := payload[*wire.SA](r, response).Proposals[0]
	s, err := NewESPSuite(chosen)
	if err != nil {
		r.Fatal(err)
	}
	if r.children > 1 {
		if got := ESPProposalName(chosen); got != r.ESP {
			r.Errorf("the child's proposal is called %q, want %q", got, r.ESP)
		}
		if (s.KE != wire.GroupNone) != has[*wire.KE](response) || s.ESN {
			r.Errorf("the child's suite is %+v", s)
		}
	}
	initiator, responder := s.ChildKeys(sa.suite.Prf(), sa.keys.D, want.Shared, ni, nr)
	if !bytes.Equal(initiator, want.InitiatorKey) || !bytes.Equal(responder, want.ResponderKey) {
		r.Errorf("the keys of child %d are %x and %x, want %x and %x", r.children, initiator, responder, want.InitiatorKey, want.ResponderKey)
	}
}

func (r *replay) rekey(old *replaySA, response []wire.Payload) {
	spi := func(p wire.Proposal) wire.SPI { return wire.SPI(binary.BigEndian.Uint64(p.SPI)) }
	chosen := payload[*wire.SA](r, response).Proposals[0]
	s, err := NewIKESuite(chosen)
	if err != nil {
		r.Fatal(err)
	}
	sa := &replaySA{suite: s, spiI: spi(payload[*wire.SA](r, old.request).Proposals[0]), spiR: spi(chosen)}
	want := r.IKESAs[len(r.sas)]
	r.sas = append(r.sas, sa)
	ni, nr := old.nonces(r, response)
	r.derive(sa, RekeySKEYSEED(old.suite.Prf(), old.keys.D, want.Shared, ni, nr), ni, nr, want)
}
