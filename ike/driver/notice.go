package driver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"culvert/ike"
	"culvert/ike/reason"
)

// Bounds of the history: events per peer, and fewer per peer if there are very many peers.
const (
	historyLen   = 64
	historyLeast = 8
	historyAll   = 64000 // events of all peers; above it the number per peer falls
)

// An Event is a notice of the engine and its time.
type Event struct {
	At time.Time
	ike.Notice
}

// history holds the last events of each configured peer, oldest first, and those of the engine
// itself under the empty name.
type history struct {
	mu    sync.Mutex
	peers map[string][]Event
}

func newHistory() history { return history{peers: map[string][]Event{"": nil}} }

func (h *history) add(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	events, ok := h.peers[e.Peer]
	if !ok {
		return // not configured, or no longer
	}
	if e.Event == "call-refused" || e.Event == "unreachable" {
		events = dropForgeable(events, e.Event)
	}
	if room := min(historyLen, max(historyLeast, historyAll/len(h.peers))); len(events) >= room {
		events = slices.Delete(events, 0, len(events)-room+1)
	}
	h.peers[e.Peer] = append(events, e)
}

// maxForgeable bounds the events of one peer about calls that were refused before they were
// authenticated, and likewise about ICMP errors: anybody may have sent these.
const maxForgeable = 4

// dropForgeable makes room for another event of a kind, by that of the oldest one.
func dropForgeable(events []Event, kind string) []Event {
	count := 0
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Event != kind {
			continue
		}
		if count++; count == maxForgeable {
			return slices.Delete(events, i, i+1)
		}
	}
	return events
}

// keepOnly keeps the events of peers and drops all others.
func (h *history) keepOnly(peers []ike.Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.peers
	h.peers = make(map[string][]Event, len(peers)+1)
	h.peers[""] = old[""]
	for i := range peers {
		h.peers[peers[i].Name] = old[peers[i].Name]
	}
}

// change applies a change of a few peers.
func (h *history) change(c ike.ChangePeers) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range c.Gone {
		delete(h.peers, name)
	}
	for i := range c.Set {
		if name := c.Set[i].Name; h.peers[name] == nil {
			h.peers[name] = nil // known from now on
		}
	}
}

// History returns the last events of a peer, at most 64, oldest first. The empty name stands for
// events without a configured peer. It works after the end of Run as well.
func (d *Driver) History(peer string) []Event {
	d.history.mu.Lock()
	defer d.history.mu.Unlock()
	return slices.Clone(d.history.peers[peer])
}

// notice logs a notice with the fixed keys event, peer, party, child, ike_spi and child_spi, of a
// failed negotiation also cause and details, and adds it to the history unless its level is debug.
func (d *Driver) notice(n ike.Notice) {
	if n.Level > ike.Debug {
		short := n
		short.Failure = nil // the details of the last one are in the status
		d.history.add(Event{At: d.cfg.Now(), Notice: short})
	}
	level := slogLevel(n.Level)
	if !d.cfg.Log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{slog.String("event", n.Event)}
	if n.Peer != "" {
		attrs = append(attrs, slog.String("peer", n.Peer))
	}
	if n.Party != "" {
		attrs = append(attrs, slog.String("party", n.Party))
	}
	if n.Child != "" {
		attrs = append(attrs, slog.String("child", n.Child))
	}
	if n.IKESPI != 0 {
		attrs = append(attrs, slog.String("ike_spi", n.IKESPI.String()))
	}
	if n.SPIIn != 0 {
		attrs = append(attrs, slog.String("child_spi", fmt.Sprintf("%08x", n.SPIIn)))
	}
	d.cfg.Log.LogAttrs(context.Background(), level, n.Text, append(attrs, failure(n.Failure)...)...)
}

// failure returns what the log has of a failed negotiation beside its first line.
func failure(t *reason.Trouble) (attrs []slog.Attr) {
	if t == nil || t.Cause == "" {
		return nil
	}
	attrs = append(attrs, slog.String("cause", string(t.Cause)))
	if len(t.Explain) > 0 {
		attrs = append(attrs, slog.String("details", strings.Join(t.Explain, " | ")))
	}
	return attrs
}

func slogLevel(l ike.Level) slog.Level {
	switch l {
	case ike.Debug:
		return slog.LevelDebug
	case ike.Info:
		return slog.LevelInfo
	case ike.Warn:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// panicked counts and logs a panic of the control goroutine. It is called where the panic was
// recovered, while the stack still exists.
func (d *Driver) panicked(what string, why any) {
	d.counts.panics.Add(1)
	d.logPanic(what, fmt.Sprintf("%v\n%s", why, debug.Stack()))
}

// logPanic logs a bug of ours, at most once a second, because a stranger may be able to cause it.
func (d *Driver) logPanic(what, stack string) {
	if more, ok := d.loop.panicLog.allow(d.cfg.Now()); ok {
		d.cfg.Log.Error("internal error: "+what+"; please report this", "event", "panic", "stack", stack, "not_logged", more)
	}
}

// A throttle lets one line of a kind through in each interval, and counts the others. After a pause
// up to burst lines follow each other.
type throttle struct {
	every time.Duration
	burst int // 0 is 1
	last  time.Time
	more  int
}

// allow reports whether to log now, and how many lines were suppressed since the last one.
func (t *throttle) allow(now time.Time) (more int, ok bool) {
	// last is when the present line would be due if all of a burst had been spread evenly.
	if earliest := now.Add(-time.Duration(max(t.burst, 1)) * t.every); t.last.Before(earliest) {
		t.last = earliest
	}
	if next := t.last.Add(t.every); next.After(now) {
		t.more++
		return 0, false
	}
	more, t.more, t.last = t.more, 0, t.last.Add(t.every)
	return more, true
}
