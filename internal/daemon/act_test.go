package daemon

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"culvert/ike"
	"culvert/internal/control"
)

func TestActions(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+manualText("192.0.2.9", "01"), nil)
	var asked ike.Input
	f.do = func(in ike.Input) error { asked = in; return nil }
	for _, tt := range []struct {
		action control.Action
		target control.Target
		text   string
		input  ike.Input
		code   int
	}{
		{control.Up, control.Target{Peer: "a"}, "a is no longer held down: it comes up when the peer connects", ike.Connect{Peer: "a"}, 0},
		{control.Down, control.Target{Peer: "a", Child: "lan", By: "root"}, `a/lan is down, and refuses traffic and calls until "culvert up a/lan"`, ike.Disconnect{Peer: "a", Child: "lan", By: "root"}, 0},
		{control.Down, control.Target{Peer: "a", Once: true, By: "root"}, "may bring it up again", ike.Disconnect{Peer: "a", Once: true, By: "root"}, 0},
		{control.Rekey, control.Target{Peer: "a", Child: "lan"}, "a/lan is rekeyed", ike.Rekey{Peer: "a", Child: "lan"}, 0},
		{control.Up, control.Target{Peer: "x"}, `there is no peer "x": configured are a, bench`, nil, 404},
		{control.Up, control.Target{Peer: "a", Child: "x"}, `peer "a" has no child "x": the only one is lan`, nil, 404},
		{control.Rekey, control.Target{Peer: "bench"}, "there is nothing to rekey", nil, 409},
		{control.Rekey, control.Target{Peer: "bench", Child: "man"}, "there is nothing to rekey", nil, 409},
	} {
		asked = nil
		text, err := d.Act(context.Background(), tt.action, tt.target)
		var e *control.Error
		if errors.As(err, &e) {
			text = e.Text
		}
		if !strings.Contains(text, tt.text) || asked != tt.input || (e != nil) != (tt.code != 0) || e != nil && e.Code != tt.code {
			t.Errorf("%s %v: got %q, %v, asked %v", tt.action, tt.target, text, err, asked)
		}
	}
	f.status = []ike.PeerStatus{{Name: "a", State: ike.PeerEstablished}}
	if text, err := d.Act(context.Background(), control.Up, control.Target{Peer: "a"}); err != nil || text != "a is up" {
		t.Errorf("up: %q, %v", text, err)
	}
	f.do = func(ike.Input) error { return errors.New("no answer from 192.0.2.2") }
	var e *control.Error
	if _, err := d.Act(context.Background(), control.Up, control.Target{Peer: "a"}); !errors.As(err, &e) || e.Code != 409 || e.Text != "no answer from 192.0.2.2" {
		t.Errorf("got %v, want a conflict with the reason", err)
	}
}

// A peer whose name has no address yet cannot be brought up for that reason, whatever the engine
// says. Any other action fails for its own.
func TestUpOfAnUnresolvedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, f, _ := testDaemon(t, peerText("a", "hq.example.com", "2"), func(context.Context, string) ([]netip.Addr, error) {
			return nil, errors.New("hq.example.com has no address")
		})
		defer d.resolver.close()
		f.do = func(ike.Input) error { return errors.New("no remote address") }
		for action, want := range map[control.Action]string{
			control.Up: "hq.example.com has no address; trying again", control.Rekey: "no remote address",
		} {
			var e *control.Error
			if _, err := d.Act(context.Background(), action, control.Target{Peer: "a"}); !errors.As(err, &e) || e.Text != want {
				t.Errorf("%s: got %v, want %q", action, err, want)
			}
		}
	})
}
