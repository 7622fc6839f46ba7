package tun

import (
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// settle is how long a burst of changes may last before they are acted on together.
	settle = 50 * time.Millisecond
	// resubscribe is the pause after the kernel had more to tell than it could keep.
	resubscribe = time.Second
)

// watcher calls a function after the host's addresses or links changed.
type watcher struct {
	changed func()
	done    chan struct{}
	wg      sync.WaitGroup
}

// updates are the two streams of one subscription. Each must be read until it is closed, or its sender never ends.
type updates struct {
	addrs chan netlink.AddrUpdate
	links chan netlink.LinkUpdate
	end   chan struct{} // closed to end both
}

func subscribe() (*updates, error) {
	u := &updates{make(chan netlink.AddrUpdate, 16), make(chan netlink.LinkUpdate, 16), make(chan struct{})}
	if err := netlink.AddrSubscribe(u.addrs, u.end); err != nil {
		return nil, fmt.Errorf("tun: watching this host's addresses: %w", err)
	}
	if err := netlink.LinkSubscribe(u.links, u.end); err != nil {
		close(u.end)
		return nil, fmt.Errorf("tun: watching this host's links: %w", err)
	}
	return u, nil
}

// close ends the subscription and drains what is under way.
func (u *updates) close() {
	close(u.end)
	for range u.addrs {
	}
	for range u.links {
	}
}

func newWatcher(changed func()) (*watcher, error) {
	u, err := subscribe()
	if err != nil {
		return nil, err
	}
	w := &watcher{changed: changed, done: make(chan struct{})}
	w.wg.Go(func() { w.run(u) })
	return w, nil
}

// run follows one subscription after the other until close. A subscription ends early when the kernel drops updates: then nobody knows what
// was missed.
func (w *watcher) run(u *updates) {
	for {
		closed := w.follow(u)
		u.close()
		if closed {
			return
		}
		for u = nil; u == nil; {
			if !w.pause(resubscribe) {
				return
			}
			u, _ = subscribe()
		}
		w.changed()
	}
}

// follow acts on u's updates. True: close was called; false: the subscription ended.
func (w *watcher) follow(u *updates) bool {
	var due <-chan time.Time
	for {
		ok := true
		select {
		case _, ok = <-u.addrs:
		case _, ok = <-u.links:
		case <-due:
			due = nil
			w.changed()
			continue
		case <-w.done:
			return true
		}
		if !ok {
			return false
		}
		if due == nil {
			due = time.After(settle)
		}
	}
}

// pause waits; false: close was called meanwhile.
func (w *watcher) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.done:
		return false
	}
}

// close ends the watching. A change that is being acted on is finished first.
func (w *watcher) close() {
	close(w.done)
	w.wg.Wait()
}
