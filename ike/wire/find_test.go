package wire

import "testing"

// TestFind: each finder returns the first matching payload, and skips those that differ only in
// type, kind or role.
func TestFind(t *testing.T) {
	nonce, second := &Nonce{Data: make([]byte, 16)}, &Nonce{Data: make([]byte, 32)}
	cookie, cookie2 := &Notify{Kind: Cookie, Data: []byte{1}}, &Notify{Kind: Cookie, Data: []byte{2}}
	last, failure := &Notify{Kind: maxErrorNotify}, &Notify{Kind: NoProposalChosen}
	tsi, tsr := &TS{}, &TS{Responder: true}
	idi, idr := &ID{IDType: IDNull}, &ID{IDType: IDNull, Responder: true}
	ps := []Payload{
		&VendorID{}, tsr, tsi, idr, idi, &TS{Selectors: make([]TrafficSelector, 1)}, &ID{IDType: IDKeyID},
		&Notify{Kind: InitialContact}, cookie, cookie2, last, failure, nonce, second,
	}
	for _, tt := range []struct {
		name string
		want Payload
		find func(ps []Payload) (Payload, bool)
	}{
		{"Nonce", nonce, func(ps []Payload) (Payload, bool) { p, ok := Find[*Nonce](ps); return p, ok }},
		{"COOKIE", cookie, func(ps []Payload) (Payload, bool) { p, ok := FindNotify(ps, Cookie); return p, ok }},
		{"an error", last, func(ps []Payload) (Payload, bool) { p, ok := FindError(ps); return p, ok }},
		{"TSi", tsi, func(ps []Payload) (Payload, bool) { p, ok := FindTS(ps, false); return p, ok }},
		{"TSr", tsr, func(ps []Payload) (Payload, bool) { p, ok := FindTS(ps, true); return p, ok }},
		{"IDi", idi, func(ps []Payload) (Payload, bool) { p, ok := FindID(ps, false); return p, ok }},
		{"IDr", idr, func(ps []Payload) (Payload, bool) { p, ok := FindID(ps, true); return p, ok }},
	} {
		if got, ok := tt.find(ps); !ok || got != tt.want {
			t.Errorf("%s: found %+v, %v, want %+v", tt.name, got, ok, tt.want)
		}
		if got, ok := tt.find([]Payload{&VendorID{}, &Notify{Kind: InitialContact}, &KE{}}); ok {
			t.Errorf("%s: found %+v among others", tt.name, got)
		}
	}
	if got, ok := Find[*Nonce](nil); ok || got != nil {
		t.Errorf("found %+v among none", got)
	}
}
