package driver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/ike"
)

func TestNotices(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		answer[ike.Wake](r,
			ike.Notice{Level: ike.Info, Peer: "right", Child: "lan", Event: "child-up", Text: "up", IKESPI: 0xabc, SPIIn: 0xc0ffee01},
			ike.Notice{Level: ike.Debug, Peer: "right", Event: "retransmit", Text: "again"},
			ike.Notice{Level: ike.Warn, Event: "half-open", Text: "many strangers"},
			ike.Notice{Level: ike.Error, Peer: "right", Event: "auth-failed", Text: "wrong key"},
		)
		r.call(context.Background(), func() { r.handle(ike.Wake{}, classEstablished) })
		for _, want := range []string{
			`level=INFO msg=up event=child-up peer=right child=lan ike_spi=0000000000000abc child_spi=c0ffee01`,
			`level=WARN msg="many strangers" event=half-open` + "\n",
			`level=ERROR msg="wrong key" event=auth-failed peer=right` + "\n",
		} {
			if !strings.Contains(r.logged.String(), want) {
				t.Errorf("got\n%swant %s", r.logged, want)
			}
		}
		if strings.Contains(r.logged.String(), "again") {
			t.Error("debugging is logged")
		}
		var events []string
		for _, e := range r.History("right") {
			events = append(events, e.Event)
			if !e.At.Equal(time.Now()) {
				t.Errorf("%s at %v", e.Event, e.At)
			}
		}
		if got, want := strings.Join(events, " "), "child-up auth-failed"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(r.History("")) != 1 || r.History("left") != nil {
			t.Errorf("got %v and %v", r.History(""), r.History("left"))
		}
	})
}

// The history keeps the last events of the configured peers and no more.
func TestHistoryBounds(t *testing.T) {
	h := history{peers: map[string]*ring{}}
	d := &Driver{}
	for i := range historyLen + 10 {
		h.add(Event{Notice: ike.Notice{Peer: "right", Text: fmt.Sprint(i)}})
	}
	d.history.peers = h.peers
	got := d.History("right")
	if len(got) != historyLen || got[0].Text != "10" || got[historyLen-1].Text != fmt.Sprint(historyLen+9) {
		t.Errorf("got %d from %s to %s", len(got), got[0].Text, got[len(got)-1].Text)
	}
	for i := range historyPeers + 10 {
		h.add(Event{Notice: ike.Notice{Peer: fmt.Sprint(i)}})
	}
	if len(h.peers) != historyPeers {
		t.Errorf("%d peers", len(h.peers))
	}
	h.keepOnly([]ike.Peer{{Name: "right"}})
	if len(h.peers) != 1 || h.peers["right"] == nil {
		t.Errorf("%d peers are left", len(h.peers))
	}
}
