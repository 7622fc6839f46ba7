package suite

import (
	"bytes"
	"crypto/rand"
	"testing"

	"culvert/ike/wire"
)

// TestSealFragments seals messages of many lengths for datagrams of many sizes, and checks the
// fragments against RFC 7383, Section 2.5.
func TestSealFragments(t *testing.T) {
	for _, p := range protections() {
		out := p.protector(t, rand.Reader)
		for _, size := range []int{120, 121, 135, 136, 137, 576, 1280, 1500} {
			for _, n := range []int{0, 1, 60, 100, 400, 1219, 1220, 1221, 5000} {
				checkFragments(t, p, out, []wire.Payload{windowSize, vendorID(n)}, size)
			}
		}
	}
}

func checkFragments(t *testing.T, p protection, out *Protector, inner []wire.Payload, size int) {
	t.Helper()
	raws, err := out.SealFragments(testHeader, inner, size)
	if err != nil {
		t.Fatalf("%v, %d octets: %v", p, size, err)
	}
	want := wire.AppendPayloads(nil, inner)
	fits := wire.HeaderLen+wire.PayloadHeaderLen+out.box.sealedLen(len(want)) <= size
	if fits != (len(raws) == 1) {
		t.Errorf("%v, %d octets of payloads in datagrams of %d: %d fragments", p, len(want), size, len(raws))
	}
	var got []byte
	for i, raw := range raws {
		if len(raw) > size {
			t.Errorf("%v: a datagram of %d octets where %d fit", p, len(raw), size)
		}
		m, err := wire.Parse(raw)
		if err != nil || m.MessageID != testHeader.MessageID || m.Exchange != testHeader.Exchange || len(m.Payloads) != 1 {
			t.Fatalf("%v: %v, %v", p, m, err)
		}
		if fits {
			ps, err := out.Open(raw, payload[*wire.Encrypted](t, m.Payloads))
			if err != nil {
				t.Fatalf("%v: %v", p, err)
			}
			got = wire.AppendPayloads(nil, ps)
			break
		}
		skf := payload[*wire.EncryptedFragment](t, m.Payloads)
		if int(skf.Number) != i+1 || int(skf.Total) != len(raws) || (skf.First == wire.PayloadNotify) != (i == 0) || (skf.First == wire.NoNextPayload) != (i > 0) {
			t.Errorf("%v: fragment %d of %d says %d of %d, first payload %v", p, i+1, len(raws), skf.Number, skf.Total, skf.First)
		}
		part, err := out.OpenFragment(raw, skf)
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		if i < len(raws)-1 && size-len(raw) >= 16 {
			t.Errorf("%v: fragment %d has %d octets where %d fit", p, i+1, len(raw), size)
		}
		got = append(got, part...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%v: %d octets came out where %d went in", p, len(got), len(want))
	}
}

// TestFragmentNumbersAreAuthentic: a changed fragment number, or an SK payload turned into an SKF,
// is refused.
func TestFragmentNumbersAreAuthentic(t *testing.T) {
	for _, p := range protections() {
		out := p.protector(t, rand.Reader)
		raws, err := out.SealFragments(testHeader, []wire.Payload{vendorID(500)}, 200)
		if err != nil {
			t.Fatal(err)
		}
		raw := raws[1]
		at := wire.HeaderLen + wire.PayloadHeaderLen
		for bit := range 8 * (at + wire.FragmentHeaderLen) {
			raw[bit/8] ^= 1 << (bit % 8)
			if _, err := out.OpenFragment(raw, &wire.EncryptedFragment{Number: 1, Total: 3, Body: raw[at+wire.FragmentHeaderLen:]}); err != ErrAuth {
				t.Errorf("%v: with bit %d flipped: %v", p, bit, err)
			}
			raw[bit/8] ^= 1 << (bit % 8)
		}
		raw[16] = byte(wire.PayloadSK)
		if _, err := out.Open(raw, &wire.Encrypted{Body: raw[at:]}); err != ErrAuth {
			t.Errorf("%v: a fragment opens as a whole message: %v", p, err)
		}
	}
}

func TestFragmentsTooSmall(t *testing.T) {
	for _, p := range protections() {
		out := p.protector(t, rand.Reader)
		for size := 1; size < 60; size++ {
			if raws, err := out.SealFragments(testHeader, []wire.Payload{vendorID(500)}, size); err == nil {
				for _, raw := range raws {
					if len(raw) > size {
						t.Fatalf("%v: a datagram of %d octets where %d fit", p, len(raw), size)
					}
				}
			}
		}
		if _, err := out.SealFragments(testHeader, []wire.Payload{vendorID(500)}, 50); err == nil {
			t.Errorf("%v: fragments for datagrams of 50 octets", p)
		}
	}
	out := protections()[0].protector(t, nil)
	var many []wire.Payload
	for range 3 {
		many = append(many, vendorID(30000))
	}
	smallest := wire.HeaderLen + wire.PayloadHeaderLen + wire.FragmentHeaderLen + out.box.sealedLen(1)
	if _, err := out.SealFragments(testHeader, many, smallest); err == nil {
		t.Error("more than 65535 fragments")
	}
	if raws, err := out.SealFragments(testHeader, many, 70000); err != nil || len(raws) != 2 {
		t.Errorf("90 kB in %d fragments, %v", len(raws), err)
	}
}
