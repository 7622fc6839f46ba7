package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"culvert/internal/control"
	"culvert/internal/ipsec"
)

const (
	// healthEvery is how often all peers are looked at. A look may take up to healthShare of the
	// time: that of 10,000 peers takes about 0.2 s.
	healthEvery = time.Second
	healthShare = 100
	// A verdict is told when it stood for toldAfter looks in a row, and its end when there was none
	// for overAfter looks, so that none flaps in the log.
	toldAfter, overAfter = 2, 3
	// maxTold bounds the lines of a look: with very many peers behind one fault the first ones tell
	// what it is.
	maxTold = 20
	// dropsSpan is how long drops count together: what came within the last one and, up to it, in
	// the present one.
	dropsSpan = 30 * time.Second
)

// A dropKey names the drops of a policy for a reason.
type dropKey struct {
	policy ipsec.PolicyID
	reason string
}

// A health remembers what verdicts need of the time before: how many packets had been dropped, and
// what the log was told.
type health struct {
	mu        sync.Mutex
	old, mid  map[dropKey]uint64 // counts as they were when the span before the last one ended, and the last one
	now       map[dropKey]uint64 // counts as they were last seen
	spanBegan time.Time
	peers     map[string]*peerHealth // by control.Peer.Address; those without a verdict have none
	current   []heldVerdict          // of the last look
}

// A heldVerdict is a verdict of a configured peer, for metrics.
type heldVerdict struct{ peer, child, code, level string }

// A peerHealth is what the log was told of a peer.
type peerHealth struct {
	told, seen string // names of verdicts; "": none
	looks      int    // in a row at which seen stood
}

// lately returns how many packets of a policy were dropped for a reason within the last span or
// two, of n in all.
func (h *health) lately(policy ipsec.PolicyID, reason string, n uint64) uint64 {
	if n == 0 {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := dropKey{policy, reason}
	if h.now == nil {
		h.now = map[dropKey]uint64{}
	}
	h.now[key] = n
	if was := h.old[key]; was <= n {
		return n - was
	}
	return n // it counts from the beginning again
}

// endSpan begins the next span of drops if it is time.
func (h *health) endSpan(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.spanBegan.IsZero() {
		h.spanBegan = now
	}
	if now.Sub(h.spanBegan) < dropsSpan {
		return
	}
	h.old, h.mid, h.now, h.spanBegan = h.mid, h.now, nil, now
}

// look takes the verdicts of a status, and returns those to be told: of each peer the first, when
// it has changed for some looks.
func (h *health) look(peers []control.Peer) (told []telling) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.peers
	h.peers, h.current = map[string]*peerHealth{}, nil
	for i := range peers {
		p := &peers[i]
		for _, v := range p.Verdicts {
			if p.Party == "" {
				h.current = append(h.current, heldVerdict{p.Name, v.Child, v.Code, v.Level})
			}
		}
		name, at := p.Address(), slices.IndexFunc(p.Verdicts, func(v control.Verdict) bool { return v.Level != "note" })
		was := before[name]
		if was == nil && at < 0 {
			continue
		}
		if was == nil {
			was = &peerHealth{}
		}
		v := control.Verdict{}
		if at >= 0 {
			v = p.Verdicts[at]
		}
		if was.changed(v.Code + "/" + v.Child) {
			told = append(told, telling{name, v})
		}
		if at >= 0 || was.told != "" {
			h.peers[name] = was
		}
	}
	return told
}

// verdicts returns those of the last look.
func (h *health) verdicts() []heldVerdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

// changed notes the verdict of a look, and reports whether it is to be told.
func (p *peerHealth) changed(name string) bool {
	const none = "/"
	if name == none {
		name = ""
	}
	if name != p.seen {
		p.seen, p.looks = name, 0
	}
	p.looks++
	after := toldAfter
	if name == "" {
		after = overAfter
	}
	if name == p.told || p.looks < after {
		return false
	}
	p.told = name
	return true
}

// A telling is a verdict for the log, or with an empty code the end of one.
type telling struct {
	peer string
	control.Verdict
}

// watchHealth looks at all peers from time to time, and tells verdicts that are new, or over, until
// ctx ends.
func (d *Daemon) watchHealth(ctx context.Context) {
	for {
		begun := time.Now()
		if st, err := d.Status(ctx); err == nil {
			d.tell(d.health.look(st.Peers))
			d.health.endSpan(d.now())
		}
		pause := max(healthEvery, healthShare*time.Since(begun))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// tell logs verdicts.
func (d *Daemon) tell(list []telling) {
	for i := range list[:min(len(list), maxTold)] {
		t := &list[i]
		attrs := []slog.Attr{slog.String("event", "verdict"), slog.String("peer", t.peer)}
		level, text := slog.LevelWarn, t.Text
		switch {
		case t.Code == "":
			attrs[0], level, text = slog.String("event", "verdict-over"), slog.LevelInfo, "nothing is known to be wrong any more"
		case t.Child != "":
			attrs = append(attrs, slog.String("child", t.Child))
		}
		if t.Code != "" {
			attrs = append(attrs, slog.String("code", t.Code))
		}
		if t.Remedy != "" {
			attrs = append(attrs, slog.String("remedy", t.Remedy))
		}
		d.log.LogAttrs(context.Background(), level, text, attrs...)
	}
	if more := len(list) - maxTold; more > 0 {
		d.log.Warn("more peers have another verdict: see culvert status", "event", "verdict", "peers", more)
	}
}
