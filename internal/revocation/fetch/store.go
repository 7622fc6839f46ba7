package fetch

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of the store.
const (
	maxItems   = 4096
	maxOctets  = 32 << 20
	maxFlights = 256 // fetches under way and waiting for their host
)

// Times of the store.
const (
	// refresh is how old a value is that is fetched again, though it is still valid: a revocation
	// is noticed after that.
	refresh = time.Hour
	// pause is how long a fetch that failed is not tried again. Meanwhile nobody waits for it.
	pause = 30 * time.Second
)

// An item is a fetched value, its size in octets and the end of its validity.
type item struct {
	value any
	size  int
	until time.Time
}

// An entry is what is known of a key.
type entry struct {
	key     string
	item    item
	fetched time.Time // zero: never
	failed  time.Time // the last try, after which err is the reason; zero: it succeeded
	err     error
	flight  *flight // a fetch under way
}

// A flight is a fetch that all who want its value wait for.
type flight struct {
	done chan struct{}
	err  error
}

// A store holds values by key, those that were used last, and fetches each once at a time. Its size
// is bounded.
type store struct {
	mu      sync.Mutex
	entries map[string]*list.Element // of *entry
	order   *list.List               // the last used first
	octets  int
	flights int
}

func newStore() store { return store{entries: make(map[string]*list.Element), order: list.New()} }

// get returns the value of key. If there is none, or an old one, it is fetched by load, which runs
// once for all callers at a time and on after ctx has ended. If that fails, an old value is
// returned as long as it is valid. stored reports whether nothing had to be fetched for the value.
func (s *store) get(ctx context.Context, key string, now time.Time, load func() (item, error)) (value any, stored bool, err error) {
	s.mu.Lock()
	e := s.entry(key)
	switch {
	case e.current(now):
		defer s.mu.Unlock()
		return e.item.value, true, nil
	case e.flight == nil && e.pausing(now):
		defer s.mu.Unlock()
		value, err = e.old(now)
		return value, err == nil, err
	case e.flight == nil && s.flights >= maxFlights:
		s.mu.Unlock()
		return nil, false, errors.New("too many fetches are under way")
	}
	if e.flight == nil {
		s.begin(e, now, load)
	}
	f := e.flight
	s.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, false, errTime
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.err == nil {
		return e.item.value, false, nil
	}
	value, err = e.old(now)
	return value, false, err
}

// peek returns the value of key if it is at hand and valid, and otherwise nil. It does not wait: a
// value that is not there, or half out of date, is fetched by load meanwhile.
func (s *store) peek(key string, now time.Time, load func() (item, error)) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(key)
	half := e.fetched.Add(e.item.until.Sub(e.fetched) / 2)
	if (!e.current(now) || now.After(half)) && e.flight == nil && !e.pausing(now) && s.flights < maxFlights {
		s.begin(e, now, load)
	}
	value, _ := e.old(now)
	return value
}

// entry returns the entry of a key, which is now the last used.
func (s *store) entry(key string) *entry {
	if at, ok := s.entries[key]; ok {
		s.order.MoveToFront(at)
		return at.Value.(*entry)
	}
	e := &entry{key: key}
	s.entries[key] = s.order.PushFront(e)
	s.octets += len(key)
	s.shrink()
	return e
}

// begin starts a fetch for an entry.
func (s *store) begin(e *entry, now time.Time, load func() (item, error)) {
	f := &flight{done: make(chan struct{})}
	e.flight = f
	s.flights++
	go func() {
		it, err := guarded(load)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.flights--
		e.flight, f.err = nil, err
		if err != nil {
			e.failed, e.err = now, err
		} else {
			e.failed, e.err = time.Time{}, nil
			s.put(e, it, now)
		}
		close(f.done)
	}()
}

// guarded is load, with an error in place of a panic: what it reads comes from the network.
func guarded(load func() (item, error)) (it item, err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("internal error: %v", why)
		}
	}()
	return load()
}

// put gives an entry a value. One that has left the store meanwhile keeps it for those who wait.
func (s *store) put(e *entry, it item, now time.Time) {
	if at, ok := s.entries[e.key]; ok && at.Value.(*entry) == e {
		s.octets += it.size - e.item.size
	}
	e.item, e.fetched = it, now
	s.shrink()
}

// shrink removes the entries that were not used for longest, until the rest fits.
func (s *store) shrink() {
	for len(s.entries) > maxItems || s.octets > maxOctets {
		at := s.order.Back()
		e := at.Value.(*entry)
		s.order.Remove(at)
		delete(s.entries, e.key)
		s.octets -= len(e.key) + e.item.size
	}
}

// current reports whether the value need not be fetched. One that was out of date from the start is
// not fetched again at once.
func (e *entry) current(now time.Time) bool {
	return !e.fetched.IsZero() && (now.Before(e.fetched.Add(refresh)) && now.Before(e.item.until) || now.Before(e.fetched.Add(pause)))
}

// pausing reports whether a fetch failed a short time ago.
func (e *entry) pausing(now time.Time) bool {
	return !e.failed.IsZero() && now.Before(e.failed.Add(pause)) && !now.Before(e.failed)
}

// old returns the value after a fetch that failed, if it is still valid, or why it failed.
func (e *entry) old(now time.Time) (any, error) {
	if !e.fetched.IsZero() && now.Before(e.item.until) {
		return e.item.value, nil
	}
	return nil, e.err
}
