package reason

import (
	"slices"
	"testing"

	"culvert/ike/proposal/proposaltest"
	"culvert/ike/wire"
)

// TestDetails: both offers are named, the peer's as unknown where it did not tell.
func TestDetails(t *testing.T) {
	ours, theirs := proposaltest.Parse(t, "esp gcm128 esn"), proposaltest.Parse(t, "esp gcm128 noesn")
	for name, tt := range map[string]struct {
		facts Facts
		want  []string
	}{
		"both":    {Facts{Cause: ESPProposal, Ours: Offer{Proposals: ours}, Theirs: Offer{Proposals: theirs}}, []string{"ours: aes128gcm16-esn", "theirs: aes128gcm16", "first difference: sequence numbers: we have esn, they have noesn"}},
		"nothing": {Facts{Cause: ESPProposal, Ours: Offer{Proposals: ours}}, []string{"ours: aes128gcm16-esn", "theirs: none that could be read", "first difference: they offer nothing that we could read"}},
		"unknown": {Facts{Cause: ESPProposal, Answer: wire.NoProposalChosen, Ours: Offer{Proposals: ours}}, []string{"ours: aes128gcm16-esn", "theirs: unknown; see the peer's log"}},
		"proofs": {Facts{Cause: Secret, Ours: Offer{ID: "a", Proof: PSK, Expects: "b"}, Theirs: Offer{ID: "b", Proof: Cert, Expects: "a"}, Details: []string{"more"}},
			[]string{"ours: a, by pre-shared key", "expected of the peer: b", "theirs: b, by certificate, to a", "more"}},
		"rejected":  {Facts{Cause: Rejected, Answer: wire.AuthenticationFailed, Ours: Offer{ID: "a"}}, []string{"ours: a", "theirs: unknown; see the peer's log"}},
		"nobody":    {Facts{Cause: Method, Details: []string{"more"}}, []string{"more"}},
		"a mode":    {Facts{Cause: Mode, Ours: Offer{Local: networks("10.1.0.0/16")}}, []string{"ours: local 10.1.0.0/16, remote none", "theirs: local none, remote none"}},
		"no offers": {Facts{Cause: Mode}, nil},
		"others":    {Facts{Cause: Own, Ours: Offer{ID: "a"}}, nil},
	} {
		if got := tt.facts.Trouble().Explain; !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
