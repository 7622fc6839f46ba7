package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"culvert/esp"
	"culvert/internal/ipsec"
)

// A manualRecorder keeps the sequence numbers of manual SAs in the state directory, since a manual
// key outlasts the daemon: RFC 4303, Section 3.3.3 wants the counter maintained across reboots
// until the key is replaced, and no IV may meet its key twice (RFC 4106, Section 3.1).
//
// Numbers are on record ahead of their use, so that whatever ends the daemon, the next one begins
// beyond all that were used:
//
//	on disk:  allowed = 131,072                  262,144
//	sent:     1 ... 20,000 ... 100,000 ...       kill -9 | start  262,145 ...
//
// The packet path knows allowed, and drops what is beyond it: a disk that is slow, full or broken
// costs packets, and never repeats a number. An ordered end records what was truly used.
//
// The highest number that was accepted is on record after the fact, at most topEvery late: what
// came since then before a crash could be replayed once. To record that ahead as well would have
// the next daemon refuse the peer's packets until it has sent as many.
type manualRecorder struct {
	state *stateOpener
	plane sequencePlane
	log   *slog.Logger
	now   func() time.Time
	wake  chan struct{} // one slot: there is something to keep

	mu      sync.Mutex // guards the fields below, and is held while the file is written
	loaded  bool
	records manualRecords // as on disk
	live    map[ipsec.ChildID]*keptSA
	written time.Time
	failing bool // the log has it
}

// sequencePlane is the part of the packet path that a manualRecorder uses.
type sequencePlane interface {
	State(id ipsec.ChildID) (esp.State, bool)
	Allow(id ipsec.ChildID, last uint64)
}

// A keptSA is an installed manual SA.
type keptSA struct {
	name    ipsec.PolicyName
	out, in manualID // zero: not kept
	begun   uint64   // the number after which it began
	seen    uint64   // the last number that was used at the last look
	last    uint64   // the last sequence number that there is
	warned  int      // how often the share that is left had halved when the log was told
}

// Numbers are on record ahead for some three seconds of the present traffic, within bounds, and
// more are when a quarter is used. The least lasts for keepEvery at 1.3 million packets a second,
// and 32,000 crashes fit into the 2^32 numbers of an SA without extended ones.
const (
	keepEvery  = 100 * time.Millisecond
	leastAhead = 1 << 17
	mostAhead  = 1 << 22
	lookAhead  = 32 // looks
	topEvery   = 5 * time.Second
)

func newManualRecorder(state *stateOpener, plane sequencePlane, log *slog.Logger) *manualRecorder {
	return &manualRecorder{
		state: state, plane: plane, log: log, now: time.Now, wake: make(chan struct{}, 1),
		live: map[ipsec.ChildID]*keptSA{},
	}
}

// run keeps the records ahead until ctx ends.
func (k *manualRecorder) run(ctx context.Context) {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if k.keep() == 0 { // sleep until there is an SA
			select {
			case <-ctx.Done():
				return
			case <-k.wake:
			}
		}
	}
}

// ahead returns sent + n, or last if that is less.
func ahead(sent, n, last uint64) uint64 {
	if last-min(sent, last) <= n {
		return last
	}
	return sent + n
}

// cancel takes a begun SA back that was not installed: it has sent nothing.
func (k *manualRecorder) cancel(id ipsec.ChildID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.live[id]
	delete(k.live, id)
	if kept == nil || kept.out == (manualID{}) {
		return
	}
	next := k.records.clone()
	record := next.sent[kept.out]
	record.allowed = kept.begun
	next.sent[kept.out] = record
	_ = k.write(next) // the log has it
}

// end forgets an SA that was taken out with a state, but for the end of its window.
func (k *manualRecorder) end(id ipsec.ChildID, s esp.State) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.live[id]
	delete(k.live, id)
	if kept == nil || kept.in == (manualID{}) || s.Highest <= k.records.top[kept.in] {
		return
	}
	next := k.records.clone()
	next.top[kept.in] = s.Highest
	_ = k.write(next) // the log has it
}

// keep allows the live SAs more numbers once they are on record, and records what was accepted. It
// returns the number of SAs.
func (k *manualRecorder) keep() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	allow, tops := map[ipsec.ChildID]uint64{}, map[manualID]uint64{}
	for id, kept := range k.live {
		s, ok := k.plane.State(id)
		if !ok {
			continue
		}
		if to, ok := k.more(kept, s.Sent.Packets); ok {
			allow[id] = to
		}
		if kept.in != (manualID{}) && s.Highest > k.records.top[kept.in] {
			tops[kept.in] = s.Highest
		}
	}
	if len(allow) == 0 && (len(tops) == 0 || k.now().Sub(k.written) < topEvery) {
		return len(k.live)
	}
	next := k.records.clone()
	for id, to := range allow {
		out := k.live[id].out
		next.sent[out] = sentRecord{allowed: to, ivStart: next.sent[out].ivStart}
	}
	maps.Copy(next.top, tops)
	if k.write(next) == nil {
		for id, to := range allow {
			k.plane.Allow(id, to)
		}
	}
	return len(k.live)
}

// more returns up to which number an SA that has used those up to sent should be allowed to send;
// ok is false if what it is allowed will do.
func (k *manualRecorder) more(kept *keptSA, sent uint64) (to uint64, ok bool) {
	if kept.out == (manualID{}) {
		return 0, false
	}
	k.warn(kept, sent)
	n := min(max(lookAhead*(sent-kept.seen), leastAhead), mostAhead)
	kept.seen = sent
	allowed := k.records.sent[kept.out].allowed
	return ahead(sent, n, kept.last), allowed < kept.last && allowed-min(sent, allowed) <= n-n/4
}

// finish records what was truly used, after the packet path has ended.
func (k *manualRecorder) finish() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.live) == 0 {
		return
	}
	next := k.records.clone()
	for id, kept := range k.live {
		s, ok := k.plane.State(id)
		if !ok {
			continue
		}
		if record, sends := next.sent[kept.out]; sends {
			record.allowed = s.Sent.Packets
			next.sent[kept.out] = record
		}
		if _, receives := next.top[kept.in]; receives {
			next.top[kept.in] = max(next.top[kept.in], s.Highest)
		}
	}
	_ = k.write(next) // the log has it
}

// warn tells of the end of an SA's sequence numbers: when a quarter is left, and whenever that has
// halved.
func (k *manualRecorder) warn(kept *keptSA, sent uint64) {
	left := kept.last - min(sent, kept.last)
	halved := 0
	for limit := kept.last / 4; left <= limit && limit > 0; limit /= 2 {
		halved++
	}
	if halved <= kept.warned {
		return
	}
	kept.warned = halved
	k.log.Warn(fmt.Sprintf("%d of %d sequence numbers are left to this manual SA, and without any it sends nothing: give it new keys on both sides, or set esn = \"always\" there as well", left, kept.last),
		"event", "manual-sequence-low", "peer", kept.name.Peer, "child", kept.name.Child)
}
