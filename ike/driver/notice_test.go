package driver

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"culvert/ike"
	"culvert/ike/reason"
)

func TestNotices(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		answer[ike.Wake](r,
			ike.Notice{Level: ike.Info, Peer: "right", Child: "lan", Event: "child-up", Text: "up", IKESPI: 0xabc, SPIIn: 0xc0ffee01},
			ike.Notice{Level: ike.Debug, Peer: "right", Event: "retransmit", Text: "again"},
			ike.Notice{Level: ike.Warn, Event: "half-open", Text: "many strangers"},
			ike.Notice{Level: ike.Error, Peer: "right", Event: "auth-failed", Text: "wrong key",
				Failure: &reason.Trouble{Cause: reason.Secret, Reason: "wrong key", Explain: []string{"ours: a", "theirs: b"}}},
		)
		r.call(context.Background(), func() { r.handle(ike.Wake{}, classEstablished) })
		for _, want := range []string{
			`level=INFO msg=up event=child-up peer=right child=lan ike_spi=0000000000000abc child_spi=c0ffee01`,
			`level=WARN msg="many strangers" event=half-open` + "\n",
			`level=ERROR msg="wrong key" event=auth-failed peer=right cause=psk details="ours: a | theirs: b"` + "\n",
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
			if events = append(events, e.Event); e.Failure != nil {
				t.Errorf("the history keeps the details: %+v", e)
			}
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

// The history keeps the last events of the configured peers only, and fewer per peer if there are
// many.
func TestHistoryBounds(t *testing.T) {
	d := &Driver{history: newHistory()}
	h := &d.history
	add := func(peer string, n int) {
		for i := range n {
			h.add(Event{Notice: ike.Notice{Peer: peer, Text: fmt.Sprint(i)}})
		}
	}
	want := func(peer string, n int, first string) {
		t.Helper()
		if got := d.History(peer); len(got) != n || n > 0 && got[0].Text != first {
			t.Errorf("%q: got %d events, want %d from %s", peer, len(got), n, first)
		}
	}
	h.change(ike.ChangePeers{Set: []ike.Peer{{Name: "right"}}})
	add("right", historyLen+10)
	add("stranger", 1)
	want("right", historyLen, "10")
	want("stranger", 0, "")
	many := make([]ike.Peer, 2*historyAll/historyLen)
	for i := range many {
		many[i].Name = fmt.Sprint(i)
	}
	h.keepOnly(append(many, ike.Peer{Name: "right"}))
	want("right", historyLen, "10")
	add("right", 1)
	add("7", 1)
	n := historyAll / len(h.peers)
	if got := d.History("right"); len(got) != n || got[n-1].Text != "0" || got[n-2].Text != fmt.Sprint(historyLen+9) {
		t.Errorf("got %d events, want %d", len(got), n)
	}
	want("7", 1, "0")
	h.change(ike.ChangePeers{Set: many[7:9], Gone: []string{"right"}})
	want("7", 1, "0")
	want("right", 0, "")
	if len(h.peers) != len(many)+1 {
		t.Errorf("%d peers", len(h.peers))
	}
}

// The history of very many peers is part of the memory of an idle IKE SA.
func TestHistoryMemory(t *testing.T) {
	const n, most = 20000, 2 << 10
	inUse := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	h := newHistory()
	peers := make([]ike.Peer, n)
	for i := range peers {
		peers[i].Name = fmt.Sprintf("peer-%06d", i)
	}
	h.keepOnly(peers)
	for range 3 * historyLeast {
		for i := range peers {
			h.add(Event{Notice: ike.Notice{Peer: peers[i].Name, Child: "lan", Event: "child-rekeyed", Text: fmt.Sprintf("Child SA %08x in, %08x out replaces %08x in, %08x out", i, i, i, i)}})
		}
	}
	peers = nil
	if got := (inUse() - before) / n; got > most {
		t.Errorf("%d bytes for each peer, want at most %d", got, most)
	} else {
		t.Logf("%d bytes for each peer", got)
	}
	runtime.KeepAlive(&h)
}

// A throttle lets one line through in each interval, with the number of lines suppressed before it.
func TestThrottle(t *testing.T) {
	th, start := throttle{every: time.Second}, time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		after time.Duration
		more  int
		ok    bool
	}{
		{0, 0, true}, {1, 0, false}, {time.Second - 1, 0, false},
		{time.Second, 2, true}, {2*time.Second - 1, 0, false},
		{time.Minute, 1, true}, {2 * time.Minute, 0, true},
	} {
		if more, ok := th.allow(start.Add(tt.after)); more != tt.more || ok != tt.ok {
			t.Errorf("after %v: got %d, %v, want %d, %v", tt.after, more, ok, tt.more, tt.ok)
		}
	}
}

// The history follows the configured peers: a new one has none, and a removed one keeps none.
func TestHistoryFollowsThePeers(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		answer[ike.Wake](r,
			ike.Notice{Level: ike.Info, Peer: "left", Event: "child-up"},
			ike.Notice{Level: ike.Info, Peer: "right", Event: "child-up"})
		want := func(left, right int) {
			t.Helper()
			r.call(t.Context(), func() { r.handle(ike.Wake{}, classEstablished) })
			if l, r := len(r.History("left")), len(r.History("right")); l != left || r != right {
				t.Errorf("got %d events of left and %d of right, want %d and %d", l, r, left, right)
			}
		}
		want(0, 1)
		r.SetPeers(t.Context(), []ike.Peer{{Name: "left"}}, noFollow)
		want(1, 0)
		r.SetPeers(t.Context(), []ike.Peer{{Name: "left"}, {Name: "right"}}, noFollow)
		want(2, 1)
		r.ChangePeers(t.Context(), ike.ChangePeers{Set: []ike.Peer{{Name: "right"}}, Gone: []string{"left"}}, noFollow)
		want(0, 2)
	})
}

// TestHistoryNumbers: up to a thousand peers, each has the last 64 events, and with very many 8.
func TestHistoryNumbers(t *testing.T) {
	for _, tt := range []struct{ peers, want int }{{1, 64}, {999, 64}, {1000, 63}, {7999, 8}, {20000, 8}} {
		d := &Driver{history: newHistory()} // with the engine's own events under the empty name
		peers := make([]ike.Peer, tt.peers)
		for i := range peers {
			peers[i].Name = fmt.Sprint(i)
		}
		d.history.change(ike.ChangePeers{Set: peers})
		for range 100 {
			d.history.add(Event{Notice: ike.Notice{Peer: "0"}})
		}
		if got := len(d.History("0")); got != tt.want {
			t.Errorf("%d peers: %d events of one, want %d", tt.peers, got, tt.want)
		}
	}
}
