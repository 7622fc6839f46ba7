package ike

import (
	"slices"
	"testing"

	"culvert/ike/wire"
)

var (
	anyNotify   = &wire.Notify{Kind: wire.InitialContact}
	errorNotify = &wire.Notify{Kind: wire.NoProposalChosen}
	saIKE       = &wire.SA{Proposals: []wire.Proposal{{Protocol: wire.ProtoIKE}}}
	saESP       = &wire.SA{Proposals: []wire.Proposal{{Protocol: wire.ProtoESP}}}
	tsI, tsR    = &wire.TS{}, &wire.TS{Responder: true}
	idI, idR    = &wire.ID{}, &wire.ID{Responder: true}
)

// ruleCases are correct messages; mandatory is how many of their first payloads may not be omitted.
var ruleCases = []struct {
	what      string
	ex        wire.ExchangeType
	response  bool
	ps        []wire.Payload
	mandatory int
}{
	{"IKE_SA_INIT", wire.IKESAInit, false, []wire.Payload{saIKE, &wire.KE{}, &wire.Nonce{}, anyNotify, anyNotify, &wire.VendorID{}}, 3},
	{"its response", wire.IKESAInit, true, []wire.Payload{saIKE, &wire.KE{}, &wire.Nonce{}, &wire.CertReq{}, &wire.CertReq{}, anyNotify}, 3},
	{"IKE_AUTH", wire.IKEAuth, false, []wire.Payload{idI, &wire.Auth{}, saESP, tsI, tsR, idR, &wire.Cert{}, &wire.Cert{}, &wire.Configuration{}}, 5},
	{"its response", wire.IKEAuth, true, []wire.Payload{idR, &wire.Auth{}, saESP, tsI, tsR, anyNotify}, 5},
	{"its response without a Child SA", wire.IKEAuth, true, []wire.Payload{idR, &wire.Auth{}, anyNotify}, 2},
	{"CREATE_CHILD_SA", wire.CreateChildSA, false, []wire.Payload{saESP, &wire.Nonce{}, tsI, tsR, anyNotify, &wire.KE{}}, 4},
	{"its response", wire.CreateChildSA, true, []wire.Payload{saESP, &wire.Nonce{}, tsI, tsR}, 4},
	{"rekeying the IKE SA", wire.CreateChildSA, false, []wire.Payload{saIKE, &wire.Nonce{}, &wire.KE{}}, 3},
	{"its response", wire.CreateChildSA, true, []wire.Payload{saIKE, &wire.Nonce{}, &wire.KE{}}, 3},
	{"liveness", wire.Informational, false, nil, 0},
	{"deletes", wire.Informational, false, []wire.Payload{&wire.Delete{}, &wire.Delete{}, anyNotify}, 0},
}

func TestCheckPayloads(t *testing.T) {
	for _, c := range ruleCases {
		if err := checkPayloads(c.ex, c.response, c.ps); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		unknown := append(slices.Clone(c.ps), &wire.Unknown{PayloadType: 200}, &wire.Unknown{PayloadType: 200})
		if err := checkPayloads(c.ex, c.response, unknown); err != nil {
			t.Errorf("%s with unknown payloads: %v", c.what, err)
		}
		for i := range c.mandatory {
			if err := checkPayloads(c.ex, c.response, slices.Delete(slices.Clone(c.ps), i, i+1)); err == nil {
				t.Errorf("%s without %v passes", c.what, c.ps[i].Type())
			}
		}
		// Row 4 of the hostile inputs: each payload twice, and each in a message that may not have
		// it.
		for _, p := range c.ps {
			err := checkPayloads(c.ex, c.response, append(slices.Clone(c.ps), p))
			if want := slices.Contains(repeatable, p.Type()); (err == nil) != want {
				t.Errorf("%s with another %v: got %v", c.what, p.Type(), err)
			}
		}
		if err := checkPayloads(c.ex, c.response, append(slices.Clone(c.ps), &wire.EAP{})); err == nil {
			t.Errorf("%s with EAP passes", c.what)
		}
	}
	if err := checkPayloads(99, false, nil); err == nil {
		t.Error("exchange type 99 passes")
	}
}

// An SA payload may come without a proposal. It is not one of an IKE SA.
func TestProposesIKE(t *testing.T) {
	for what, c := range map[string]struct {
		ps   []wire.Payload
		want bool
	}{
		"no payload":  {nil, false},
		"no SA":       {[]wire.Payload{&wire.Nonce{}}, false},
		"no proposal": {[]wire.Payload{&wire.SA{}}, false},
		"ESP":         {[]wire.Payload{&wire.Nonce{}, saESP}, false},
		"IKE":         {[]wire.Payload{&wire.Nonce{}, saIKE}, true},
	} {
		if got := proposesIKE(c.ps); got != c.want {
			t.Errorf("%s: got %v, want %v", what, got, c.want)
		}
	}
}

func TestCheckPayloadsOfRefusals(t *testing.T) {
	cookie := &wire.Notify{Kind: wire.Cookie}
	for _, c := range []struct {
		what     string
		ex       wire.ExchangeType
		response bool
		ps       []wire.Payload
		want     bool
	}{
		{"refused", wire.IKESAInit, true, []wire.Payload{errorNotify}, true},
		{"cookie wanted", wire.IKESAInit, true, []wire.Payload{cookie}, true},
		{"a cookie elsewhere", wire.IKEAuth, true, []wire.Payload{cookie}, false},
		{"not authenticated", wire.IKEAuth, true, []wire.Payload{errorNotify}, true},
		{"child refused", wire.IKEAuth, true, []wire.Payload{idR, &wire.Auth{}, errorNotify}, true},
		{"child refused, by nobody", wire.IKEAuth, true, []wire.Payload{&wire.Auth{}, errorNotify}, false},
		{"a status is no refusal", wire.CreateChildSA, true, []wire.Payload{anyNotify}, false},
		{"a request cannot refuse", wire.CreateChildSA, false, []wire.Payload{errorNotify}, false},
		{"refused with what has no place", wire.CreateChildSA, true, []wire.Payload{errorNotify, idI}, false},
		{"half a Child SA", wire.IKEAuth, true, []wire.Payload{idR, &wire.Auth{}, saESP, tsI}, false},
	} {
		if err := checkPayloads(c.ex, c.response, c.ps); (err == nil) != c.want {
			t.Errorf("%s: got %v, want ok %v", c.what, err, c.want)
		}
	}
}
