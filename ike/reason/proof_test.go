package reason

import (
	"testing"

	"culvert/ike/wire"
)

// TestProofs: both identities that were sent are in the words, and what is wrong with the proof.
func TestProofs(t *testing.T) {
	ours, theirs := Offer{ID: "a", Proof: PSK, Expects: "b"}, Offer{ID: "b", Proof: PSK, Expects: "a"}
	for _, tt := range []struct {
		facts Facts
		want  string
	}{
		{Facts{Cause: Secret, Ours: ours, Theirs: theirs}, "authentication of b failed: the pre-shared keys differ; it called a"},
		{Facts{Cause: Secret, Ours: ours, Theirs: Offer{ID: "b", Expects: "c"}}, "authentication of b failed: the pre-shared keys differ; it called c, and we are a"},
		{Facts{Cause: Secret, Ours: ours, Theirs: Offer{ID: "b"}}, "authentication of b failed: the pre-shared keys differ; we are a"},
		{Facts{Cause: Secret}, "authentication of the peer failed: the pre-shared keys differ"},
		{Facts{Cause: Certificate, Theirs: theirs, Why: "it expired"}, "authentication of b failed: it expired"},
		{Facts{Cause: Identity, Why: "it is c"}, "it is c"},
		{Facts{Cause: Rejected, In: wire.IKEAuth, Answer: wire.AuthenticationFailed, Ours: ours},
			"the peer answered AUTHENTICATION_FAILED to IKE_AUTH: the pre-shared keys differ, or it accepts none, or it does not expect a, or is not b; the other side's log knows which"},
		{Facts{Cause: Rejected, Answer: wire.AuthenticationFailed, Why: "it says no", Ours: Offer{ID: "a", Proof: Cert}},
			"it says no: it does not accept our certificate, or it does not expect a; the other side's log knows which"},
	} {
		if got := tt.facts.Trouble().Reason; got != tt.want {
			t.Errorf("got %q\nwant %q", got, tt.want)
		}
	}
}
