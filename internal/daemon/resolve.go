package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds on lookups.
const (
	lookupTimeout  = 10 * time.Second
	maxLookups     = 8 // at a time
	firstLookupGap = 2 * time.Second
	lastLookupGap  = time.Minute
)

// A lookup is the knowledge about a peer's DNS name.
type lookup struct {
	name  string
	addrs []netip.Addr // of the last successful lookup
	err   error        // of the last lookup, if it failed
}

// A resolver looks up DNS names in the background: nothing waits for it. It repeats a failed lookup
// after a growing pause.
type resolver struct {
	ask  func(ctx context.Context, name string) ([]netip.Addr, error)
	tell func(peer string, l lookup) // called by a goroutine of the resolver

	slots chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	ctx    context.Context
	cancel context.CancelFunc
	busy   map[string]*query // by peer
}

// A query is the lookup of a name until it succeeds or is no longer wanted.
type query struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed after the first answer was passed on
}

func newResolver(ask func(context.Context, string) ([]netip.Addr, error), tell func(string, lookup)) *resolver {
	r := &resolver{ask: ask, tell: tell, slots: make(chan struct{}, maxLookups), busy: map[string]*query{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// want starts the lookup of a peer's name unless one is under way. The returned channel is closed
// after the first answer.
func (r *resolver) want(peer, name string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.busy[peer]; q != nil {
		if q.name == name {
			return q.done
		}
		q.cancel()
	}
	ctx, cancel := context.WithCancel(r.ctx)
	q := &query{name: name, cancel: cancel, done: make(chan struct{})}
	if r.closed {
		cancel()
		close(q.done)
		return q.done
	}
	r.busy[peer] = q
	r.wg.Go(func() { r.run(ctx, peer, q) })
	return q.done
}

// forget ends the lookups that are no longer wanted.
func (r *resolver) forget(wanted func(peer, name string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for peer, q := range r.busy {
		if !wanted(peer, q.name) {
			q.cancel()
		}
	}
}

// close ends all lookups and waits for them.
func (r *resolver) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

func (r *resolver) run(ctx context.Context, peer string, q *query) {
	var told sync.Once
	answered := func() { told.Do(func() { close(q.done) }) }
	defer answered()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.busy[peer] == q {
			delete(r.busy, peer)
		}
	}()
	for gap := firstLookupGap; ; gap = min(2*gap, lastLookupGap) {
		addrs, err := r.once(ctx, q.name)
		if ctx.Err() != nil {
			return
		}
		r.tell(peer, lookup{q.name, addrs, err})
		answered()
		if err == nil {
			return
		}
		select {
		case <-time.After(gap):
		case <-ctx.Done():
			return
		}
	}
}

// once looks a name up. The time and the number of concurrent lookups are bounded.
func (r *resolver) once(ctx context.Context, name string) ([]netip.Addr, error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-r.slots }()
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, err := r.ask(ctx, name)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no addresses")
	}
	return addrs, err
}

// maxAddrs bounds the addresses of a name.
const maxAddrs = 16

// systemResolver returns the system's configured resolver, over sockets from dial.
func systemResolver(dial func(ctx context.Context, network, address string) (net.Conn, error)) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: dial}
}

// systemLookup returns a lookup by a resolver. Addresses are in the order of RFC 6724.
func systemLookup(res *net.Resolver) func(context.Context, string) ([]netip.Addr, error) {
	return func(ctx context.Context, name string) ([]netip.Addr, error) {
		addrs, err := res.LookupNetIP(ctx, "ip", name)
		if err != nil {
			var dns *net.DNSError
			if errors.As(err, &dns) {
				err = fmt.Errorf("%s cannot be resolved: %s", name, dns.Err)
			}
			return nil, err
		}
		var out []netip.Addr
		for _, a := range addrs {
			if a = a.Unmap().WithZone(""); !slices.Contains(out, a) && len(out) < maxAddrs {
				out = append(out, a)
			}
		}
		return out, nil
	}
}
