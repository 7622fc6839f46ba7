package daemon

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/ike/reason"
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

// TestUpTellsBothOffers: the error of a command that failed has the words of the negotiation that
// failed. An up of a peer that only calls has those of its last call that was refused.
func TestUpTellsBothOffers(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	why := reason.Err(reason.Trouble{Cause: reason.PFS, Reason: "it differs", Explain: []string{"ours: x", "theirs: y"}}, `child "lan": `)
	f.status = []ike.PeerStatus{{Name: "a", RefusedCall: reason.Trouble{Cause: reason.Secret, Reason: "the keys differ", Explain: []string{"ours: z"}}}}
	for _, c := range []struct {
		action control.Action
		err    error
		want   control.Error
	}{
		{control.Up, why, control.Error{Code: 409, Text: `child "lan": it differs`, Cause: "pfs", Details: []string{"ours: x", "theirs: y"}}},
		{control.Rekey, why, control.Error{Code: 409, Text: `child "lan": it differs`, Cause: "pfs", Details: []string{"ours: x", "theirs: y"}}},
		{control.Up, errors.New("it only calls"), control.Error{Code: 409, Text: "it only calls", Details: []string{"its last call: the keys differ", "ours: z"}}},
		{control.Rekey, errors.New("not connected"), control.Error{Code: 409, Text: "not connected"}},
	} {
		f.do = func(ike.Input) error { return c.err }
		_, err := d.Act(context.Background(), c.action, control.Target{Peer: "a"})
		var e *control.Error
		if !errors.As(err, &e) || !reflect.DeepEqual(*e, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.action, e, c.want)
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
