package fetch

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Bounds of the fetches that run at a time, and of their rate.
const (
	maxRunning     = 16
	maxRunningHost = 4
	hostPause      = 20 * time.Millisecond // from one begin to the next at a host
)

var errTime = errors.New("no answer in time")

// limits bound the fetches in all, and for each host, so that certificates cannot direct us against
// one.
type limits struct {
	running chan struct{}
	mu      sync.Mutex
	hosts   map[string]*host
}

// A host is a server with fetches that run or wait.
type host struct {
	running chan struct{}
	users   int
	next    time.Time // when the next fetch may begin
}

func newLimits() limits {
	return limits{running: make(chan struct{}, maxRunning), hosts: make(map[string]*host)}
}

// enter waits until a fetch from a host may begin. leave must be called at its end.
func (l *limits) enter(ctx context.Context, name string) (leave func(), err error) {
	h := l.use(name)
	for i, slots := range []chan struct{}{h.running, l.running} {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			if i == 1 {
				<-h.running
			}
			l.unuse(name)
			return nil, errTime
		}
	}
	leave = func() {
		<-l.running
		<-h.running
		l.unuse(name)
	}
	if err := l.wait(ctx, h); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// wait waits for the time at which the host may be asked again.
func (l *limits) wait(ctx context.Context, h *host) error {
	l.mu.Lock()
	now := time.Now()
	at := now
	if h.next.After(now) {
		at = h.next
	}
	h.next = at.Add(hostPause)
	l.mu.Unlock()
	t := time.NewTimer(at.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errTime
	}
}

func (l *limits) use(name string) *host {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[name]
	if h == nil {
		h = &host{running: make(chan struct{}, maxRunningHost)}
		l.hosts[name] = h
	}
	h.users++
	return h
}

// unuse forgets a host that nobody uses. Its pause is shorter than a fetch takes.
func (l *limits) unuse(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.hosts[name]; h.users == 1 {
		delete(l.hosts, name)
	} else {
		h.users--
	}
}
