package wire

import (
	"reflect"
	"strings"
	"testing"
)

// parseOne parses a single payload from its body.
func parseOne(t *testing.T, typ PayloadType, hex string) Payload {
	t.Helper()
	ps, err := ParsePayloads(typ, lastPayload(unhex(t, hex)))
	if err != nil {
		t.Fatal(err)
	}
	return ps[0]
}

// Odd proposals parse, and their transforms are marked: "MUST consider this transform unacceptable;
// other transforms with the same Transform Type are processed as usual" (RFC 7296, Section 3.3.6).
func TestOddTransforms(t *testing.T) {
	encr := func(keyLength uint16, unknown bool) Transform {
		return Transform{Type: TransformENCR, ID: EncrAESCBC, KeyLength: keyLength, UnknownAttribute: unknown}
	}
	tests := []struct {
		name, attributes string
		want             Transform
	}{
		{"no key length", "", encr(0, false)},
		{"key length 1", "800e0001", encr(1, false)},
		{"key length 65535", "800effff", encr(65535, false)},
		{"key length 0", "800e0000", encr(0, true)},
		{"two key lengths", "800e0080 800e0100", encr(128, true)},
		{"key length in the long format", "000e0002 0080", encr(0, true)},
		{"unknown attribute, short", "800e0080 80110001", encr(128, true)},
		{"unknown attribute, long and empty", "00110000 800e0080", encr(128, true)},
	}
	for _, tt := range tests {
		body := unhex(t, tt.attributes)
		n := byte(len(body))
		sa := append([]byte{0, 0, 0, 16 + n, 1, 1, 0, 1, 0, 0, 0, 8 + n, 1, 0, 0, 12}, body...)
		ps, err := ParsePayloads(PayloadSA, lastPayload(sa))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := ps[0].(*SA).Proposals[0].Transforms[0]; got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		again, err := ParsePayloads(PayloadSA, AppendPayloads(nil, ps))
		if err != nil || !reflect.DeepEqual(ps, again) {
			t.Errorf("%s: appended again: got %+v, %v", tt.name, again, err)
		}
	}
}

// Proposals that no negotiation may choose are not syntax errors: without transforms, with unknown
// protocols, transform types or numbers, with SPIs of any size, numbered out of order.
func TestOddProposals(t *testing.T) {
	sa := &SA{Proposals: []Proposal{
		{Number: 7, Protocol: 200},
		{Number: 1, Protocol: ProtoESP, SPI: []byte{1, 2, 3}, Transforms: []Transform{{Type: 77, ID: 65535}, {Type: TransformKE, ID: 1025}}},
		{Number: 1, Protocol: ProtoIKE, SPI: make([]byte, 255), Transforms: []Transform{{Type: TransformENCR, ID: 12, KeyLength: 1}, {Type: TransformENCR, ID: 12, KeyLength: 1}}},
	}}
	ps, err := ParsePayloads(PayloadSA, AppendPayloads(nil, []Payload{sa}))
	if err != nil || !reflect.DeepEqual(ps[0], sa) {
		t.Fatalf("got %+v, %v", ps, err)
	}
	if got, want := sa.Proposals[0].String(), "empty"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := sa.Proposals[1].String(), "transform type(77)(65535)-KE(1025)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProposalBounds(t *testing.T) {
	tooMany := &SA{Proposals: make([]Proposal, maxProposals+1)}
	_, err := ParsePayloads(PayloadSA, AppendPayloads(nil, []Payload{tooMany}))
	wantError(t, err, InvalidSyntax, "256 proposals")
	full := Proposal{Transforms: make([]Transform, 255)}
	_, err = ParsePayloads(PayloadSA, AppendPayloads(nil, []Payload{&SA{Proposals: []Proposal{full, full, full, full, full, full, full, full, full}}}))
	wantError(t, err, InvalidSyntax, "2295 transforms")
	attributes := &Configuration{Attributes: make([]ConfigAttribute, maxConfigAttributes+1)}
	_, err = ParsePayloads(PayloadCP, AppendPayloads(nil, []Payload{attributes}))
	wantError(t, err, InvalidSyntax, "1025 attributes")
}

// Identities of every length, some of which crashed other daemons.
func TestIdentityLengths(t *testing.T) {
	for _, n := range []int{0, 1, 520, MaxPayloadLen - 8} {
		want := &ID{Responder: true, IDType: IDKeyID, Data: clone([]byte(strings.Repeat("x", n)))}
		ps, err := ParsePayloads(PayloadIDr, AppendPayloads(nil, []Payload{want}))
		if err != nil || len(ps[0].(*ID).Data) != n {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// A selector of an unknown type is skipped by its length; its neighbours are kept.
func TestUnknownSelectorType(t *testing.T) {
	known := "07 06 0010 0016 0016 0a000001 0a000001"
	p := parseOne(t, PayloadTSi, "03 000000"+known+"09 00 0007 aabbcc"+known)
	if got := len(p.(*TS).Selectors); got != 2 {
		t.Errorf("got %d selectors, want 2", got)
	}
	p = parseOne(t, PayloadTSi, "01 000000 0a 00 0004")
	if got := len(p.(*TS).Selectors); got != 0 {
		t.Errorf("got %d selectors, want 0", got)
	}
}

// The caller checks the range: OPAQUE ports are a start above the end (RFC 7296, Section 3.13.1).
func TestSelectorAsItCame(t *testing.T) {
	p := parseOne(t, PayloadTSr, "01 000000 08 3a 0028 ffff 0000"+strings.Repeat("ff", 16)+strings.Repeat("00", 16))
	s := p.(*TS).Selectors[0]
	if s.StartPort != 65535 || s.EndPort != 0 || s.Protocol != 58 || s.Start.Compare(s.End) <= 0 || !s.Start.Is6() {
		t.Errorf("got %+v", s)
	}
}

// Reserved fields and the critical bit of known payloads are ignored, and sent as zero (RFC 7296,
// Section 2.5).
func TestReservedIgnored(t *testing.T) {
	b := unhex(t, "22 ff 0008 01 ffffff 00 ff 000c 001f ffff 01020304")
	ps, err := ParsePayloads(PayloadAuth, b)
	if err != nil {
		t.Fatal(err)
	}
	if typ, ok := UnsupportedCritical(ps); ok {
		t.Errorf("%v counts as unsupported", typ)
	}
	if got, want := AppendPayloads(nil, ps), unhex(t, "22 00 0008 01 000000 00 00 000c 001f 0000 01020304"); string(got) != string(want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// The reserved octets of an identity are kept, because the peer's AUTH covers them as received (RFC
// 7296, Section 2.15).
func TestReservedOfIdentity(t *testing.T) {
	b := unhex(t, "00 00 000c 0b aabbcc 01020304")
	ps, err := ParsePayloads(PayloadIDi, b)
	if err != nil {
		t.Fatal(err)
	}
	want := &ID{IDType: IDKeyID, Reserved: [3]byte{0xaa, 0xbb, 0xcc}, Data: []byte{1, 2, 3, 4}}
	if !reflect.DeepEqual(ps, []Payload{want}) {
		t.Errorf("got %+v, want %+v", ps[0], want)
	}
	if got := AppendPayloads(nil, ps); string(got) != string(b) {
		t.Errorf("got %x, want %x", got, b)
	}
}

func TestUnknownPayloads(t *testing.T) {
	b := unhex(t, "c8 00 0006 aabb 2b 80 0004 00 00 0005 01")
	ps, err := ParsePayloads(199, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []Payload{
		&Unknown{PayloadType: 199, Body: []byte{0xaa, 0xbb}}, &Unknown{PayloadType: 200, Critical: true}, &VendorID{Data: []byte{1}},
	}
	if !reflect.DeepEqual(ps, want) {
		t.Errorf("got %s", FormatPayloads(ps))
	}
	if typ, ok := UnsupportedCritical(ps); !ok || typ != 200 {
		t.Errorf("got %v %v, want payload(200)", typ, ok)
	}
	if got := AppendPayloads(nil, ps); string(got) != string(b) {
		t.Errorf("got %x, want %x", got, b)
	}
	if got, want := FormatPayloads(ps), "payload(199), payload(200)!, V"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An empty INFORMATIONAL message has an empty SK payload.
func TestEmptyContent(t *testing.T) {
	ps, err := ParsePayloads(NoNextPayload, nil)
	if err != nil || len(ps) != 0 {
		t.Errorf("got %v, %v", ps, err)
	}
	_, err = ParsePayloads(NoNextPayload, []byte{0})
	wantError(t, err, InvalidSyntax, "an octet after nothing")
}
