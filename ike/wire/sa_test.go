package wire

import (
	"reflect"
	"testing"
)

// The limits of one payload are exact: as many parts as a limit allows parse, one more is refused.
func TestBoundsOfParts(t *testing.T) {
	transforms := func(n int) *SA {
		sa := &SA{}
		for ; n > 0; n -= min(n, 255) {
			sa.Proposals = append(sa.Proposals, Proposal{Transforms: make([]Transform, min(n, 255))})
		}
		return sa
	}
	for name, tt := range map[string]struct {
		limit   int
		payload func(n int) Payload
	}{
		"proposals":  {255, func(n int) Payload { return &SA{Proposals: make([]Proposal, n)} }},
		"transforms": {2048, func(n int) Payload { return transforms(n) }},
		"attributes": {1024, func(n int) Payload { return &Configuration{Attributes: make([]ConfigAttribute, n)} }},
	} {
		for _, n := range []int{tt.limit, tt.limit + 1} {
			p := tt.payload(n)
			_, err := ParsePayloads(p.Type(), AppendPayloads(nil, []Payload{p}))
			if n == tt.limit {
				if err != nil {
					t.Errorf("%d %s: %v", n, name, err)
				}
				continue
			}
			wantError(t, err, InvalidSyntax, name)
		}
	}
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
