package suite

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"

	"culvert/ike/wire"
)

func mustIKE(t testing.TB, text string) wire.Proposal {
	t.Helper()
	p, err := ParseIKEProposal(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustESP(t testing.TB, text string) wire.Proposal {
	t.Helper()
	p, err := ParseESPProposal(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEveryOfferedIKESuite tests every combination that the default proposals offer.
func TestEveryOfferedIKESuite(t *testing.T) {
	nonce, shared := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	seen := 0
	for _, offer := range DefaultIKEProposals() {
		for choice := range choices(offer) {
			s, err := NewIKESuite(choice)
			if err != nil {
				t.Fatalf("%v: %v", choice, err)
			}
			k := s.Keys(s.SKEYSEED(nonce, nonce, shared), nonce, nonce, 1, 2)
			checkDirections(t, s, k)
			seen++
		}
	}
	if want := (4*3 + 3*3*3) * 7; seen != want {
		t.Errorf("%d combinations, want %d", seen, want)
	}
}

// checkDirections: each side opens the other's messages, and none of its own.
func checkDirections(t *testing.T, s *IKESuite, k *Keys) {
	t.Helper()
	outI, inI, errI := s.Protectors(k, true, rand.Reader)
	outR, inR, errR := s.Protectors(k, false, rand.Reader)
	if errI != nil || errR != nil {
		t.Fatal(errI, errR)
	}
	for _, c := range []struct{ seal, open, own *Protector }{{outI, inR, inI}, {outR, inI, inR}} {
		raw, err := c.seal.SealMessage(testHeader, []wire.Payload{windowSize})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.open.Open(raw, sealed(t, raw)); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		if _, err := c.own.Open(raw, sealed(t, raw)); err != ErrAuth {
			t.Errorf("%+v opens its own message: %v", s, err)
		}
	}
}

// choices yields every proposal with one transform of each type of p.
func choices(p wire.Proposal) func(func(wire.Proposal) bool) {
	return func(yield func(wire.Proposal) bool) {
		var pick func(types []wire.TransformType, chosen []wire.Transform) bool
		pick = func(types []wire.TransformType, chosen []wire.Transform) bool {
			if len(types) == 0 {
				q := p
				q.Transforms = slices.Clone(chosen)
				return yield(q)
			}
			offered := ofType(&p, types[0])
			if len(offered) == 0 {
				return pick(types[1:], chosen)
			}
			for _, t := range offered {
				if !pick(types[1:], append(chosen, t)) {
					return false
				}
			}
			return true
		}
		pick([]wire.TransformType{wire.TransformENCR, wire.TransformINTEG, wire.TransformPRF, wire.TransformKE, wire.TransformESN}, nil)
	}
}

func TestKeysClear(t *testing.T) {
	s, err := NewIKESuite(mustIKE(t, "aes256-sha256-x25519"))
	if err != nil {
		t.Fatal(err)
	}
	k := s.Keys([]byte("seed"), []byte("ni"), []byte("nr"), 1, 2)
	all := [][]byte{k.D, k.Ai, k.Ar, k.Ei, k.Er, k.Pi, k.Pr}
	for i, key := range all {
		if len(key) != 32 || bytes.Equal(key, make([]byte, 32)) || cap(key) != len(key) {
			t.Errorf("key %d is %x, capacity %d", i, key, cap(key))
		}
		for j := range i {
			if bytes.Equal(key, all[j]) {
				t.Errorf("keys %d and %d are the same", i, j)
			}
		}
	}
	k.Clear()
	for i, key := range all {
		if !bytes.Equal(key, make([]byte, 32)) {
			t.Errorf("key %d is %x after Clear", i, key)
		}
	}
}

// TestNewIKESuiteRefuses spoils a good proposal in every way.
func TestNewIKESuiteRefuses(t *testing.T) {
	without := func(typ wire.TransformType) func(*wire.Proposal) {
		return func(p *wire.Proposal) {
			p.Transforms = slices.DeleteFunc(p.Transforms, func(t wire.Transform) bool { return t.Type == typ })
		}
	}
	with := func(t wire.Transform) func(*wire.Proposal) {
		return func(p *wire.Proposal) { p.Transforms = append(p.Transforms, t) }
	}
	change := func(typ wire.TransformType, f func(*wire.Transform)) func(*wire.Proposal) {
		return func(p *wire.Proposal) {
			for i := range p.Transforms {
				if p.Transforms[i].Type == typ {
					f(&p.Transforms[i])
				}
			}
		}
	}
	id := func(typ wire.TransformType, id wire.TransformID) func(*wire.Proposal) {
		return change(typ, func(t *wire.Transform) { t.ID = id })
	}
	bits := func(typ wire.TransformType, n uint16) func(*wire.Proposal) {
		return change(typ, func(t *wire.Transform) { t.KeyLength = n })
	}
	gcm, cbc, chacha := "aes256gcm16-prfsha384-x25519", "aes256-sha384-x25519", "chacha20poly1305-prfsha256-x25519"
	cases := []struct {
		base, name string
		spoil      func(*wire.Proposal)
	}{
		{gcm, "for ESP", func(p *wire.Proposal) { p.Protocol = wire.ProtoESP }},
		{gcm, "nothing in it", func(p *wire.Proposal) { p.Transforms = nil }},
		{gcm, "no ENCR", without(wire.TransformENCR)}, {gcm, "no PRF", without(wire.TransformPRF)}, {gcm, "no KE", without(wire.TransformKE)},
		{cbc, "no INTEG", without(wire.TransformINTEG)}, {cbc, "INTEG NONE", id(wire.TransformINTEG, wire.IntegNone)},
		{gcm, "an AEAD and INTEG", with(words["sha256"])}, {gcm, "two ENCR", with(words["aes128gcm16"])}, {gcm, "two PRF", with(words["prfsha256"])},
		{gcm, "two KE", with(words["ecp256"])}, {cbc, "two INTEG", with(words["sha256"])},
		{gcm, "key length 0", bits(wire.TransformENCR, 0)}, {gcm, "key length 1", bits(wire.TransformENCR, 1)}, {gcm, "key length 65535", bits(wire.TransformENCR, 65535)},
		{gcm, "key length 129", bits(wire.TransformENCR, 129)}, {cbc, "key length 0", bits(wire.TransformENCR, 0)}, {chacha, "a key length", bits(wire.TransformENCR, 256)},
		{gcm, "a key length of the PRF", bits(wire.TransformPRF, 256)}, {gcm, "a key length of the group", bits(wire.TransformKE, 256)},
		{cbc, "a key length of INTEG", bits(wire.TransformINTEG, 256)},
		{gcm, "KE NONE", id(wire.TransformKE, wire.GroupNone)}, {gcm, "MODP-768", id(wire.TransformKE, 1)}, {gcm, "group 1025", id(wire.TransformKE, 1025)},
		{gcm, "NULL", id(wire.TransformENCR, wire.EncrNULL)}, {gcm, "GMAC", id(wire.TransformENCR, wire.EncrNULLAuthAESGMAC)}, {gcm, "PRF MD5", id(wire.TransformPRF, 1)},
		{gcm, "PRF 0", id(wire.TransformPRF, 0)}, {gcm, "ENCR 0", id(wire.TransformENCR, 0)}, {cbc, "INTEG 99", id(wire.TransformINTEG, 99)},
		{gcm, "ESN", with(words["esn"])}, {gcm, "an additional key exchange", with(wire.Transform{Type: wire.TransformADDKE1, ID: wire.GroupMLKEM768})},
		{gcm, "a transform of type 0", with(wire.Transform{})}, {gcm, "a transform of type 255", with(wire.Transform{Type: 255})},
	}
	for _, typ := range []wire.TransformType{wire.TransformENCR, wire.TransformPRF, wire.TransformINTEG, wire.TransformKE} {
		cases = append(cases, struct {
			base, name string
			spoil      func(*wire.Proposal)
		}{cbc, "an unknown attribute of " + typ.String(), change(typ, func(t *wire.Transform) { t.UnknownAttribute = true })})
	}
	for _, c := range cases {
		p := mustIKE(t, c.base)
		if _, err := NewIKESuite(p); err != nil {
			t.Errorf("%s: %v", c.base, err)
		}
		c.spoil(&p)
		if s, err := NewIKESuite(p); err == nil || s != nil {
			t.Errorf("%s with %s was accepted", c.base, c.name)
		}
	}
}

// TestRekeySKEYSEED: the PRF is that of the old IKE SA (RFC 7296, Section 2.18).
func TestRekeySKEYSEED(t *testing.T) {
	for _, prf := range prfs {
		got := RekeySKEYSEED(prf, []byte("SK_d"), []byte("g^ir"), []byte("Ni"), []byte("Nr"))
		if want := prf.Sum([]byte("SK_d"), []byte("g^irNiNr")); !bytes.Equal(got, want) {
			t.Errorf("got %x, want %x", got, want)
		}
	}
}
