package daemon

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/ike/wire"
	"culvert/internal/control"
)

// TestUpAlone: up of the IKE SA alone tells step by step what was agreed on, or why it failed.
func TestUpAlone(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	up := func() (string, error) {
		return d.Act(context.Background(), control.Up, control.Target{Peer: "a", Alone: true})
	}
	var asked ike.Input
	f.do = func(in ike.Input) error { asked = in; return nil }
	psk := wire.AuthSharedKey
	st := ike.PeerStatus{
		Name: "a", State: ike.PeerEstablished, LocalID: "me", RemoteID: "right.example.com", Proposal: "aes256gcm16-prfsha256-x25519",
		Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: netip.MustParseAddrPort("192.0.2.2:4500"),
		NAT: ike.NATState{Remote: true}, Auth: ike.AuthMethods{Ours: psk, Theirs: wire.AuthDigitalSignature},
		Children: []ike.ChildStatus{{Name: "lan", State: ike.ChildWaiting}},
	}
	f.status = []ike.PeerStatus{st}
	text, err := up()
	want := strings.Join([]string{
		"IKE_SA_INIT: 192.0.2.1:4500 to 192.0.2.2:4500, NAT: remote",
		"IKE_SA_INIT: proposal aes256gcm16-prfsha256-x25519",
		"IKE_AUTH: the peer is right.example.com, by " + wire.AuthDigitalSignature.String(),
		"IKE_AUTH: this side is me, by pre-shared key",
		"a is up, as an IKE SA without a Child SA",
	}, "\n")
	if err != nil || text != want || asked != (ike.Connect{Peer: "a", Alone: true}) {
		t.Errorf("got %q, %v, asked %v\nwant %q", text, err, asked, want)
	}
	f.status[0].Children[0].State = ike.ChildInstalled
	if text, _ := up(); !strings.HasSuffix(text, "\na is up, and so is lan") {
		t.Errorf("with a child: %q", text)
	}
	f.status[0].State, f.status[0].Reason = ike.PeerDown, "the peer deleted it"
	if text, _ := up(); text != "a was up, and is down again: the peer deleted it" {
		t.Errorf("lost at once: %q", text)
	}
	f.status = nil
	if text, _ := up(); !strings.Contains(text, "cannot be told") {
		t.Errorf("unknown: %q", text)
	}
}

// TestUpTellsBothOffers: the error of an up that failed has what both sides offered; that of
// another action has not.
func TestUpTellsBothOffers(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.do = func(ike.Input) error { return errors.New("the peer answered NO_PROPOSAL_CHOSEN") }
	f.status = []ike.PeerStatus{{Name: "a", Explain: []string{"ours: x", "theirs: y"}}}
	for _, c := range []struct {
		action control.Action
		want   string
	}{{control.Up, "ours: x, theirs: y"}, {control.Rekey, ""}} {
		_, err := d.Act(context.Background(), c.action, control.Target{Peer: "a"})
		var e *control.Error
		if !errors.As(err, &e) || strings.Join(e.Details, ", ") != c.want {
			t.Errorf("%s: got %+v", c.action, err)
		}
	}
}

func TestAuthText(t *testing.T) {
	psk, sig := wire.AuthSharedKey, wire.AuthDigitalSignature
	for want, m := range map[string]ike.AuthMethods{
		"":               {},
		"pre-shared key": {Ours: psk, Theirs: psk},
		"ours by pre-shared key, theirs by Digital Signature": {Ours: psk, Theirs: sig},
	} {
		if got := authText(m); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
