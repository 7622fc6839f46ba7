package suite

import (
	"crypto/rand"
	"errors"
	"testing"

	"culvert/ike/wire"
)

// FuzzOpen tries any octets as a datagram, which must not open, and any octets as the decrypted
// content of a genuine message, which must open or be malformed.
func FuzzOpen(f *testing.F) {
	all := protections()
	for _, p := range all {
		raw, err := p.protector(f, rand.Reader).SealMessage(testHeader, []wire.Payload{windowSize})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint8(0))
	}
	f.Add(wire.AppendPayloads(nil, []wire.Payload{windowSize, vendorID(3)}), uint8(1))
	f.Add(make([]byte, 64), uint8(200))
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		p := all[int(which)%len(all)]
		fuzzDatagram(t, p, b)
		fuzzContent(t, p, b)
	})
}

func fuzzDatagram(t *testing.T, p protection, b []byte) {
	m, err := wire.Parse(b)
	if err != nil || len(m.Payloads) == 0 {
		return
	}
	ske, ska := p.keys(t)
	ske[0] ^= 1 // not the keys of the corpus
	if len(ska) > 0 {
		ska[0] ^= 1
	}
	in, err := NewProtector(p.encr, p.integ, ske, ska, nil)
	if err != nil {
		t.Fatal(err)
	}
	switch last := m.Payloads[len(m.Payloads)-1].(type) {
	case *wire.Encrypted:
		if ps, err := in.Open(b, last); err != ErrAuth {
			t.Errorf("opened as %v, %v", ps, err)
		}
	case *wire.EncryptedFragment:
		if plain, err := in.OpenFragment(b, last); err != ErrAuth {
			t.Errorf("opened as %x, %v", plain, err)
		}
	}
}

func fuzzContent(t *testing.T, p protection, b []byte) {
	if len(b) > 4096 {
		return
	}
	raw := sealRaw(t, p, wire.PayloadNotify, b)
	_, err := p.protector(t, nil).Open(raw, sealed(t, raw))
	var malformed *wire.Error
	if err != nil && !errors.As(err, &malformed) {
		t.Errorf("the genuine message is refused: %v", err)
	}
}

// FuzzShared passes any public value to each key exchange: the result is an error or a secret of
// the right length.
func FuzzShared(f *testing.F) {
	groups := []wire.TransformID{wire.GroupX25519, wire.GroupECP256, wire.GroupECP384, wire.GroupECP521, wire.GroupMODP2048}
	for i, group := range groups {
		k, err := NewKE(group)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(k.Public(), uint8(i))
	}
	f.Fuzz(func(t *testing.T, peer []byte, which uint8) {
		group := groups[int(which)%len(groups)]
		k, err := NewKE(group)
		if err != nil {
			t.Fatal(err)
		}
		want := map[wire.TransformID]int{wire.GroupX25519: 32, wire.GroupECP256: 32, wire.GroupECP384: 48, wire.GroupECP521: 66, wire.GroupMODP2048: 256}[group]
		shared, err := k.Shared(peer)
		if err == nil && len(shared) != want || err != nil && shared != nil {
			t.Errorf("%s: a secret of %d octets, %v", wire.GroupName(group), len(shared), err)
		}
	})
}

// FuzzParseProposal: no text causes a panic, and the name of a parsed proposal parses to the same
// proposal.
func FuzzParseProposal(f *testing.F) {
	for _, p := range DefaultIKEProposals() {
		f.Add(IKEProposalName(p))
	}
	f.Add("aes128gcm16-esn-noesn")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (wire.Proposal, error){ParseIKEProposal, ParseESPProposal} {
			p, err := parse(text)
			if err != nil {
				continue
			}
			if again, err := parse(proposalName(p)); err != nil || again.String() != p.String() {
				t.Errorf("%q is read as %v, whose name is read as %v, %v", text, p, again, err)
			}
		}
	})
}
