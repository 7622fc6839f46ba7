package driver

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"culvert/ike"
	"culvert/ike/budget"
	"culvert/ike/reason"
)

// Bounds of the ring of strangers.
const (
	maxStrangers        = 64              // callers
	maxStrangersNetwork = 8               // of one network, once the ring is full
	maxStrangerLines    = reason.MaxLines // of the details of a caller's last refusal
	maxStrangerLine     = reason.MaxLine + 16
)

// A Stranger is a caller that was refused before it was authenticated.
type Stranger struct {
	At    time.Time // of the last refusal
	Times int
	ike.Refused
}

// strangers holds the last strangers, the one that was refused last at the end. A caller is a host,
// and the peer that it claims to be: whoever calls again takes no further place.
type strangers struct {
	mu   sync.Mutex
	list []Stranger
}

// add records a refusal.
func (r *strangers) add(now time.Time, f ike.Refused) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Explain = slices.Clone(f.Explain[:min(len(f.Explain), maxStrangerLines)])
	for i, line := range f.Explain {
		f.Explain[i] = shortened(line)
	}
	f.Text = shortened(f.Text)
	s := Stranger{At: now, Times: 1, Refused: f}
	if i := slices.IndexFunc(r.list, func(o Stranger) bool { return o.Claims == f.Claims && budget.SameHost(o.From.Addr(), f.From.Addr()) }); i >= 0 {
		s.Times += r.list[i].Times
		r.list = slices.Delete(r.list, i, i+1)
	} else if len(r.list) == maxStrangers {
		r.makeRoom(s)
	}
	r.list = append(r.list, s)
}

// shortened returns the beginning of a line, in memory of its own.
func shortened(line string) string {
	return strings.Clone(strings.ToValidUTF8(line[:min(len(line), maxStrangerLine)], ""))
}

// makeRoom drops the oldest stranger of the network of s, if that has many, or else of all.
func (r *strangers) makeRoom(s Stranger) {
	first, count := 0, 0
	for i := len(r.list) - 1; i >= 0; i-- {
		if budget.SameNetwork(r.list[i].From.Addr(), s.From.Addr()) {
			first = i
			count++
		}
	}
	if count < maxStrangersNetwork {
		first = 0
	}
	r.list = slices.Delete(r.list, first, first+1)
}

// Strangers returns the last callers that were refused before they were authenticated, at most 64,
// the last one at the end. It works after the end of Run as well.
func (d *Driver) Strangers() []Stranger {
	d.strangers.mu.Lock()
	defer d.strangers.mu.Unlock()
	return slices.Clone(d.strangers.list)
}

// The log has a few lines about strangers at once, and then one in each strangerPause.
const (
	strangerLines = 5
	strangerPause = 10 * time.Second
)

// refused records a stranger, and logs it with the fixed keys event, remote, claims, cause and
// details unless there were many.
func (d *Driver) refused(f ike.Refused) {
	now := d.cfg.Now()
	d.strangers.add(now, f)
	more, ok := d.loop.strangerLog.allow(now)
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("event", f.Event), slog.String("remote", f.From.String())}
	if f.Claims != "" {
		attrs = append(attrs, slog.String("claims", f.Claims))
	}
	if more > 0 {
		attrs = append(attrs, slog.Int("not_logged", more))
	}
	d.cfg.Log.LogAttrs(context.Background(), slog.LevelWarn, f.Text, append(attrs, failure(&reason.Trouble{Cause: f.Cause, Explain: f.Explain})...)...)
}
