package netio

import (
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxEntries bounds the keys; packets of more go through the IP stack.
	maxEntries = 1 << 14
	// askPause is the least time between two rounds of questions to the kernel: it combines bursts
	// of changes.
	askPause = 20 * time.Millisecond
	// askAgain is the time after which everything is asked again, for what has no notice, such as
	// a redirect; keys without packets are then forgotten.
	askAgain = 30 * time.Second
)

// A hopCache is the cache of first hops: what the kernel would do with packets of protocol 50. A
// goroutine asks the kernel by netlink, and another one drops what a notice may have changed, at
// once. What is not known goes through the IP stack.
type hopCache struct {
	mark    uint32
	carries func(link int) bool // packets may pass by the IP stack at a device
	log     *slog.Logger
	begun   time.Time
	table   atomic.Pointer[hopTable]
	asks    chan hopKey
	wake    chan struct{} // there are stale entries
	done    chan struct{}
	wg      sync.WaitGroup
	notices *os.File
	kernel  kernel
	ttl     int            // a raw socket of IPv4, which knows the TTL; -1: none
	links   map[int]uint32 // the state of devices; listen's
	deaf    atomic.Bool    // there are no notices any more

	// mu is held from a question to the entry's answer: a notice that comes meanwhile is about what
	// is in the table then.
	mu           sync.Mutex
	rulesChanged atomic.Bool
	byProtocol   map[int]bool // families with a rule that looks at the IP protocol
	told         map[obstacle]bool
}

// A hopTable never changes, but for what is in its entries.
type hopTable struct{ entries map[hopKey]*entry }

// openHopCache opens the cache. The carries function may be called by any goroutine; after its
// answer has changed, dropAll must be called.
func openHopCache(mark uint32, carries func(link int) bool, log *slog.Logger) (h *hopCache, err error) {
	h = &hopCache{
		mark: mark, carries: carries, log: log, begun: time.Now(), ttl: -1, told: make(map[obstacle]bool), links: make(map[int]uint32),
		asks: make(chan hopKey, 64), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	h.table.Store(&hopTable{make(map[hopKey]*entry)})
	h.rulesChanged.Store(true)
	if err := h.kernel.open(); err != nil {
		return nil, err
	}
	if h.notices, err = openNotices(); err != nil {
		h.kernel.close()
		return nil, err
	}
	return h, nil
}

// start begins to ask and to listen.
func (h *hopCache) start() {
	h.wg.Go(h.listen)
	h.wg.Go(h.keep)
}

func (h *hopCache) close() {
	if h == nil {
		return
	}
	close(h.done)
	h.notices.Close()
	h.wg.Wait()
	h.kernel.close()
}

// now is the time for entry.visits.
func (h *hopCache) now() int64 { return int64(time.Since(h.begun)) }

// want asks for a key that is not in the table, or has no hop there. It never blocks.
func (h *hopCache) want(k hopKey) {
	select {
	case h.asks <- k:
	default: // the next packet asks again
	}
}

// drop sends the packets of matching entries through the IP stack until the kernel was asked.
func (h *hopCache) drop(match func(*entry) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropLocked(match)
}

// doubt is drop for what leads to a device that refuses packets. It is for a worker, and never
// waits: while mu is held it does nothing, and the next packet doubts again.
func (h *hopCache) doubt(link int) {
	if h.mu.TryLock() {
		defer h.mu.Unlock()
		h.dropLocked(func(e *entry) bool { return e.link == link })
	}
}

// dropLocked is drop. The caller holds mu.
func (h *hopCache) dropLocked(match func(*entry) bool) {
	some := false
	for _, e := range h.table.Load().entries {
		if match(e) {
			e.drop()
			some = true
		}
	}
	if !some {
		return
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// keep asks the kernel for new keys, and again for what was dropped or is old.
func (h *hopCache) keep() {
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		select {
		case <-h.done:
			return
		case k := <-h.asks:
			h.add(k)
		case <-h.wake:
		case <-again.C:
			h.forget(h.now())
		}
		h.refresh()
		select {
		case <-h.done:
			return
		case <-time.After(askPause):
		}
	}
}

// add puts a key, and all others that wait, into the table. Those that are there, without a hop,
// are asked again, unless that is of no use.
func (h *hopCache) add(k hopKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	entries := maps.Clone(h.table.Load().entries)
	for more := true; more; {
		e := entries[k]
		if e == nil && len(entries) < maxEntries {
			e = &entry{key: k}
			entries[k] = e
		}
		if e != nil {
			e.stale = e.stale || e.hop.Load() == nil && !e.fixed
		}
		select {
		case k = <-h.asks:
		default:
			more = false
		}
	}
	h.table.Store(&hopTable{entries})
}

// forget removes the keys that had no packets, and has the others asked again.
func (h *hopCache) forget(now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	entries := maps.Clone(h.table.Load().entries)
	for k, e := range entries {
		if e.stale = true; now-e.due.Load() >= int64(askAgain) {
			delete(entries, k)
		}
	}
	h.table.Store(&hopTable{entries})
}

// refresh asks the kernel for all stale entries.
func (h *hopCache) refresh() {
	for _, e := range h.table.Load().entries {
		h.mu.Lock()
		if e.stale {
			h.renew(e)
		}
		h.mu.Unlock()
	}
}

// renew asks the kernel for e. The caller holds mu.
func (h *hopCache) renew(e *entry) {
	f, err := h.find(e)
	e.stale, e.fixed, e.why = false, isFixed(err), err
	if err != nil {
		e.hop.Store(nil)
		h.tell(e.key, err)
		return
	}
	e.to = f.to
	e.hop.Store(newHop(e.key, f))
}
