package reason

import (
	"slices"
	"testing"

	"culvert/ike/wire"
)

// TestNetworks: the first network of the peer's request that has no partner is named, and both
// lists are there.
func TestNetworks(t *testing.T) {
	a, b, c := networks("10.1.0.0/16"), networks("10.2.0.0/16"), networks("10.9.0.0/16", "10.8.0.0/16")
	for _, tt := range []struct {
		facts   Facts
		text    string
		details []string
	}{
		{Facts{Ours: Offer{Local: a, Remote: b}, Theirs: Offer{Local: a, Remote: c}},
			"networks do not meet: the peer's 10.9.0.0/16 has no partner in our remote 10.2.0.0/16",
			[]string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: local 10.1.0.0/16, remote 10.9.0.0/16 10.8.0.0/16"}},
		{Facts{Ours: Offer{Local: a, Remote: b}, Theirs: Offer{Local: c, Remote: b}},
			"networks do not meet: our side's 10.9.0.0/16, which the peer asks for, has no partner in our local 10.1.0.0/16",
			[]string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: local 10.9.0.0/16 10.8.0.0/16, remote 10.2.0.0/16"}},
		{Facts{Ours: Offer{Local: a, Remote: b}, Theirs: Offer{Remote: b}},
			"networks do not meet: the peer proposes none that can be read",
			[]string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: local none, remote 10.2.0.0/16"}},
		{Facts{Ours: Offer{Local: a, Remote: b}, Theirs: Offer{Local: a, Remote: b}},
			"networks do not meet: the peer asks for no pair of networks that we have",
			[]string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: local 10.1.0.0/16, remote 10.2.0.0/16"}},
		{Facts{Ours: Offer{Local: a, Remote: b}, In: wire.IKEAuth, Answer: wire.TSUnacceptable},
			"the peer answered TS_UNACCEPTABLE to IKE_AUTH: it grants none of our networks; the other side's log knows which it has",
			[]string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: unknown; see the peer's log"}},
		{Facts{Ours: Offer{Local: a, Remote: b}, In: wire.CreateChildSA, Answer: wire.TSUnacceptable, Rekey: true},
			"rekeying failed: the peer answered TS_UNACCEPTABLE to CREATE_CHILD_SA: it does not grant the networks of the Child SA that is there any more; the other side's log knows which it has",
			[]string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: unknown; see the peer's log"}},
	} {
		tt.facts.Cause = Networks
		if got := tt.facts.Trouble(); got.Reason != tt.text || !slices.Equal(got.Explain, tt.details) {
			t.Errorf("got %q %q\nwant %q %q", got.Reason, got.Explain, tt.text, tt.details)
		}
	}
}

// TestGrant: what was granted stands beside what was asked for, with the first network of which
// nothing was.
func TestGrant(t *testing.T) {
	a, wide, narrow := networks("10.1.0.0/16"), networks("10.2.0.0/16"), networks("10.2.0.0/24")
	for _, tt := range []struct{ facts, want string }{
		{"remote", "the peer granted 10.1.0.0/16 with 10.2.0.0/24 of 10.1.0.0/16 with 10.2.0.0/16; more"},
		{"local", "the peer granted 10.1.0.0/16 with 10.2.0.0/16 of 10.1.0.0/16 10.9.0.0/16 with 10.2.0.0/16, without local 10.9.0.0/16; more"},
	} {
		f := Facts{Cause: Narrowed, Ours: Offer{Local: a, Remote: wide}, Theirs: Offer{Local: a, Remote: narrow}, Why: "more"}
		if tt.facts == "local" {
			f.Ours.Local, f.Theirs.Remote = networks("10.1.0.0/16", "10.9.0.0/16"), wide
		}
		if got := f.Trouble().Reason; got != tt.want {
			t.Errorf("got %q\nwant %q", got, tt.want)
		}
	}
}

// TestManyNetworks: the work has a bound.
func TestManyNetworks(t *testing.T) {
	many := slices.Repeat(networks("10.1.0.0/16"), maxWork)
	f := Facts{Cause: Networks, Ours: Offer{Local: many, Remote: many}, Theirs: Offer{Local: many, Remote: networks("10.9.0.0/16", "10.8.0.0/16", "10.7.0.0/16")}}
	if got := f.Trouble(); len(got.Reason) > MaxText+4 || got.Reason == "" {
		t.Errorf("got %q", got.Reason)
	}
}
