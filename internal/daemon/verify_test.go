package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/control"
)

// TestVerify: what is up is rekeyed, first the Child SAs and then the IKE SA, until one refuses.
// The error has the reason, and what comes of it.
func TestVerify(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+strings.Replace(peerText("b", "", "3"), "remote = \"\"\n", "", 1), nil)
	refusal := errors.New("rekeying failed: its setting for PFS differs")
	for _, tt := range []struct {
		target control.Target
		fails  ike.Input
		asked  []ike.Input
		text   []string
	}{
		{control.Target{Peer: "a"}, nil,
			[]ike.Input{ike.Connect{Peer: "a"}, ike.Rekey{Peer: "a", Child: "lan"}, ike.Rekey{Peer: "a"}}, []string{"a is up", "can be rekeyed"}},
		{control.Target{Peer: "a", Child: "lan"}, nil,
			[]ike.Input{ike.Connect{Peer: "a", Child: "lan"}, ike.Rekey{Peer: "a", Child: "lan"}, ike.Rekey{Peer: "a"}}, []string{"a/lan is up"}},
		{control.Target{Peer: "a"}, ike.Connect{Peer: "a"},
			[]ike.Input{ike.Connect{Peer: "a"}}, []string{"its setting for PFS differs"}},
		{control.Target{Peer: "a"}, ike.Rekey{Peer: "a", Child: "lan"},
			[]ike.Input{ike.Connect{Peer: "a"}, ike.Rekey{Peer: "a", Child: "lan"}},
			[]string{"a is up, but the Child SA of lan cannot be rekeyed", "a new IKE SA takes its place", "its setting for PFS differs"}},
		{control.Target{Peer: "b"}, ike.Rekey{Peer: "b"},
			[]ike.Input{ike.Connect{Peer: "b"}, ike.Rekey{Peer: "b", Child: "lan"}, ike.Rekey{Peer: "b"}},
			[]string{"the IKE SA cannot be rekeyed", "ends with its lifetime unless the peer connects again"}},
	} {
		var asked []ike.Input
		f.do = func(in ike.Input) error {
			asked = append(asked, in)
			if in == tt.fails {
				return refusal
			}
			return nil
		}
		tt.target.Verify = true
		text, err := d.Act(context.Background(), control.Up, tt.target)
		var e *control.Error
		if errors.As(err, &e) {
			text = e.Text
		}
		if (err != nil) != (tt.fails != nil) || e != nil && e.Code != 409 || !slices.Equal(asked, tt.asked) {
			t.Errorf("%v: %v, asked %v", tt.target, err, asked)
		}
		for _, want := range tt.text {
			if !strings.Contains(text, want) {
				t.Errorf("%v: %q lacks %q", tt.target, text, want)
			}
		}
		if tt.asked[0] == tt.fails && strings.Contains(text, "cannot be rekeyed") {
			t.Errorf("what is not up was verified: %q", text)
		}
	}
}

// TestVerifyWithoutOutcome: the daemon's end is not a refusal of the peer.
func TestVerifyWithoutOutcome(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	for _, cause := range []error{driver.ErrStopped, context.DeadlineExceeded} {
		f.do = func(in ike.Input) error {
			if _, ok := in.(ike.Rekey); ok {
				return cause
			}
			return nil
		}
		_, err := d.Act(context.Background(), control.Up, control.Target{Peer: "a", Verify: true})
		if err == nil || strings.Contains(err.Error(), "cannot be rekeyed") {
			t.Errorf("%v is told as %v", cause, err)
		}
	}
}
