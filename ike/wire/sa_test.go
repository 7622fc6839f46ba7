package wire

import "testing"

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
