package reason

import (
	"testing"

	"culvert/ike/proposal/proposaltest"
	"culvert/ike/wire"
)

// TestProposals: the first difference makes the cause and the words. What the peer does not tell is
// said to be unknown.
func TestProposals(t *testing.T) {
	for _, c := range []struct {
		cause        Cause
		answer       wire.NotifyType
		in           wire.ExchangeType
		ours, theirs string
		raw          bool
		want         Cause
		text         string
	}{
		{IKEProposal, 0, 0, "ike gcm256 prf384 x25519", "ike gcm128 prf384 x25519", false, IKEProposal, "no common IKE proposal: encryption: we have aes256gcm16, they have aes128gcm16"},
		{IKEProposal, 0, 0, "ike gcm256 prf384 x25519", "ike gcm256 prf256 x25519", false, IKEProposal, "no common IKE proposal: PRF: we have prfsha384, they have prfsha256"},
		{IKEProposal, 0, 0, "ike gcm256 prf384 x25519", "ike gcm256 prf384 ecp256", false, IKEGroup, "no common key exchange for IKE: we have x25519, they have ecp256"},
		{IKEProposal, 0, 0, "ike gcm256 prf384 x25519", "", false, IKEProposal, "no common IKE proposal: they offer nothing that we could read"},
		{IKEProposal, wire.NoProposalChosen, wire.IKESAInit, "ike gcm256 prf384 x25519", "", false, IKEProposal,
			"the peer answered NO_PROPOSAL_CHOSEN to IKE_SA_INIT: it accepts none of our IKE proposals, or has no peer for our address; the other side's log knows which"},
		{IKEProposal, wire.NoProposalChosen, wire.CreateChildSA, "ike gcm256 prf384 x25519", "", false, IKEProposal,
			"the peer answered NO_PROPOSAL_CHOSEN to CREATE_CHILD_SA: it accepts none of our IKE proposals at a rekeying; the other side's log knows which differs"},
		{ESPProposal, 0, 0, "esp gcm128 noesn", "esp cc20 noesn", false, ESPProposal, "no common ESP proposal: encryption: we have aes128gcm16, they have chacha20poly1305"},
		{ESPProposal, 0, 0, "esp gcm128 x25519 noesn", "esp gcm128 noesn", false, PFS, "only PFS differs: we have x25519, they have none"},
		{ESPProposal, 0, 0, "esp gcm128 x25519 noesn", "esp gcm128 esn", false, PFS, "no common ESP proposal: PFS differs: we have x25519, they have none"},
		{ESPProposal, 0, 0, "esp gcm128 esn", "esp gcm128 noesn", false, ESN, "only ESN differs: we have esn, they have noesn"},
		{ESPProposal, 0, 0, "esp gcm128 noesn", "esp gcm128 noesn", false, ESPProposal, "no common proposal"},
		{ESPProposal, wire.NoProposalChosen, wire.IKEAuth, "esp gcm128 noesn", "", false, ESPProposal,
			"the peer answered NO_PROPOSAL_CHOSEN to IKE_AUTH: it accepts none of our ESP proposals; the other side's log knows which differs"},
		{ESPProposal, wire.NoProposalChosen, wire.IKEAuth, "esp gcm128 esn", "", true, ESPProposal,
			`the peer answered NO_PROPOSAL_CHOSEN to IKE_AUTH: it accepts none of our ESP proposals; it may have no ESN, which esn = "always" needs; it may carry ESP in UDP only, which encap = "never" excludes; the other side's log knows which differs`},
		{ESPProposal, wire.NoProposalChosen, wire.CreateChildSA, "esp gcm128 x25519 esn noesn", "", false, ESPProposal,
			"the peer answered NO_PROPOSAL_CHOSEN to CREATE_CHILD_SA: it accepts none of our ESP proposals; it may want another PFS (key exchanges offered: x25519); the other side's log knows which differs"},
		{PFS, wire.NoProposalChosen, wire.CreateChildSA, "esp gcm128 noesn", "", false, PFS,
			"the peer answered NO_PROPOSAL_CHOSEN to CREATE_CHILD_SA, and accepted the same ciphers in IKE_AUTH, where there is no key exchange: its setting for PFS differs (key exchanges offered: none); see pfs and proposals"},
	} {
		f := Facts{Cause: c.cause, Answer: c.answer, In: c.in, Ours: Offer{Proposals: proposaltest.Parse(t, c.ours), Raw: c.raw}, Theirs: Offer{Proposals: proposaltest.Parse(t, c.theirs)}}
		if got := f.Trouble(); got.Cause != c.want || got.Reason != c.text {
			t.Errorf("%q and %q: got %s, %q\nwant %s, %q", c.ours, c.theirs, got.Cause, got.Reason, c.want, c.text)
		}
	}
}

// TestGroups: INVALID_KE_PAYLOAD that is not followed is a difference of groups.
func TestGroups(t *testing.T) {
	offer := Offer{Proposals: proposaltest.Parse(t, "esp gcm128 x25519 noesn")}
	often := offer
	often.Times = 4
	for _, c := range []struct {
		facts Facts
		cause Cause
		text  string
	}{
		{Facts{Cause: ESPProposal, Group: wire.GroupECP256, Ours: offer}, PFS, "its setting for PFS differs: the peer wants key exchange ecp256, which we do not offer; we offer x25519"},
		{Facts{Cause: ESPProposal, Ours: offer}, PFS, "its setting for PFS differs: the peer answered INVALID_KE_PAYLOAD without one that we offer; we offer x25519"},
		{Facts{Cause: IKEProposal, Group: wire.GroupECP256, Ours: offer}, IKEGroup, "no common key exchange for IKE: the peer wants key exchange ecp256, which we do not offer; we offer x25519"},
		{Facts{Cause: IKEProposal, Group: wire.GroupECP256, Ours: often}, IKEGroup, "the peer asks for another key exchange once too often (INVALID_KE_PAYLOAD, 4 times), at last for ecp256; we offer x25519"},
		{Facts{Cause: IKEProposal, Ours: offer, Why: "it is so"}, IKEGroup, "no common key exchange for IKE: it is so"},
	} {
		c.facts.Answer = wire.InvalidKEPayload
		if got := c.facts.Trouble(); got.Cause != c.cause || got.Reason != c.text {
			t.Errorf("got %s, %q\nwant %s, %q", got.Cause, got.Reason, c.cause, c.text)
		}
	}
}

// TestAnswers: an error of the peer is named and explained, one without a name is said to be
// unknown.
func TestAnswers(t *testing.T) {
	for kind, want := range map[wire.NotifyType]string{
		wire.NoAdditionalSAs: "the peer answered NO_ADDITIONAL_SAS to CREATE_CHILD_SA: it has no room for another Child SA, or makes none but the first",
		8191:                 "the peer answered error(8191) to CREATE_CHILD_SA: what it means is unknown here; see the peer's log",
	} {
		f := Facts{Cause: Answered, In: wire.CreateChildSA, Answer: kind}
		if got := f.Trouble(); got.Reason != want {
			t.Errorf("%v: got %q", kind, got.Reason)
		}
	}
	f := Facts{Cause: Answered, Answer: wire.InvalidSyntax, Why: "of a stranger"}
	if got := f.Trouble(); got.Reason != "the peer answered INVALID_SYNTAX: of a stranger" {
		t.Errorf("got %q", got.Reason)
	}
}
