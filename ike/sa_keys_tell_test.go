package ike

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"culvert/ike/wire"
)

// telling has both sides tell the keys of their IKE SAs.
func telling(p *testPair) {
	for _, s := range p.sides() {
		s.config.TellKeys = true
	}
}

// Both sides tell the keys of an IKE SA and of those that replace it, whoever rekeys, each once and
// equally, and as copies.
func TestKeysAreTold(t *testing.T) {
	p := newPair(t, 1, telling)
	p.up()
	for _, s := range []*testSide{p.left, p.right} {
		s.rekey("")
		p.drive(2 * time.Second)
	}
	if len(p.left.told) != 3 || !reflect.DeepEqual(p.left.told, p.right.told) {
		t.Fatalf("%d and %d sets of keys told, want 3 that are equal", len(p.left.told), len(p.right.told))
	}
	last, main := &p.left.told[2], p.left.main()
	k := main.keys.keys
	if last.SPIi != main.spi.I || last.SPIr != main.spi.R || last.Encr != main.keys.suite.Encr || last.Integ != main.keys.suite.Integ {
		t.Errorf("told %x, %x, %v, %v of %v", last.SPIi, last.SPIr, last.Encr, last.Integ, main.spi)
	}
	for name, pair := range map[string][2][]byte{"SK_ei": {last.Ei, k.Ei}, "SK_er": {last.Er, k.Er}, "SK_ai": {last.Ai, k.Ai}, "SK_ar": {last.Ar, k.Ar}} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Errorf("%s is %x, want %x", name, pair[0], pair[1])
		}
	}
	kept := bytes.Clone(k.Ei)
	last.Clear()
	if !bytes.Equal(last.Ei, make([]byte, len(kept))) || !bytes.Equal(k.Ei, kept) {
		t.Error("Clear leaves the keys, or clears those of the IKE SA")
	}
}

// With a cipher that needs it, the integrity keys are told as well.
func TestIntegrityKeysAreTold(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		telling(p)
		for _, s := range p.sides() {
			s.peers[0].Proposals = []wire.Proposal{{Protocol: wire.ProtoIKE, Transforms: []wire.Transform{
				{Type: wire.TransformENCR, ID: wire.EncrAESCBC, KeyLength: 256},
				{Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2256},
				{Type: wire.TransformPRF, ID: wire.PRFHMACSHA2256},
				{Type: wire.TransformKE, ID: wire.GroupX25519},
			}}}
		}
	})
	p.up()
	for _, s := range p.sides() {
		if len(s.told) != 1 || len(s.told[0].Ai) != 32 || len(s.told[0].Ar) != 32 || bytes.Equal(s.told[0].Ai, s.told[0].Ar) || s.told[0].Integ.ID != wire.IntegHMACSHA2256 {
			t.Errorf("%s told %d sets", s.name, len(s.told))
		}
	}
}

// Unless they are asked for, no keys leave the engine.
func TestKeysAreNotTold(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	p.left.rekey("")
	p.drive(2 * time.Second)
	if n := len(p.left.told) + len(p.right.told); n != 0 {
		t.Errorf("%d sets of keys told", n)
	}
}

// A stranger has keys told only by a message that they protect.
func TestStrangersHaveNoKeysTold(t *testing.T) {
	a, r := halfOpenAttack(t, telling)
	plain, first := wire.AppendPayloads(nil, r.strangerAuth()), wire.FirstType(r.strangerAuth())
	forged := a.seal(r.keys, r.header(), first, plain)
	forged[len(forged)-1] ^= 1
	a.inject(a.right, r.from, forged)
	if n := len(a.right.told); n != 0 {
		t.Fatalf("a forged message has %d sets of keys told", n)
	}
	a.inject(a.right, r.from, a.seal(r.keys, r.header(), first, plain))
	if n := len(a.right.told); n != 1 {
		t.Errorf("a message under the keys has %d sets told, want 1", n)
	}
}
