package driver

import (
	"context"
	"errors"
	"fmt"

	"culvert/ike"
)

// maxWaiters bounds the commands that wait for their outcome.
const maxWaiters = 1024

// Do gives the engine an ike.Connect, ike.Disconnect or ike.Rekey and waits for its outcome, whose error says in words why it failed. The
// input's Ref is the driver's to choose. When ctx ends first, its error is returned and the engine goes on with the command. ErrStopped: Run has ended.
func (d *Driver) Do(ctx context.Context, in ike.Input) error {
	answer := make(chan error, 1)
	var ref uint64
	err := d.call(ctx, func() { ref = d.begin(in, answer) })
	if err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-d.done:
		return d.lastWord(answer)
	case <-ctx.Done():
		d.call(context.Background(), func() { delete(d.loop.waiters, ref) })
		return ctx.Err()
	}
}

// lastWord prefers an answer that came with the end to the end.
func (d *Driver) lastWord(answer <-chan error) error {
	select {
	case err := <-answer:
		return err
	default:
		return ErrStopped
	}
}

// begin runs on the control goroutine. The waiter is there before the engine hears of the command, which it may answer at once.
func (d *Driver) begin(in ike.Input, answer chan error) uint64 {
	l := &d.loop
	if len(l.waiters) >= maxWaiters {
		answer <- errors.New("too many commands are waiting for their outcome")
		return 0
	}
	l.lastRef++
	ref := l.lastRef
	switch c := in.(type) {
	case ike.Connect:
		c.Ref = ref
		in = c
	case ike.Disconnect:
		c.Ref = ref
		in = c
	case ike.Rekey:
		c.Ref = ref
		in = c
	default:
		answer <- fmt.Errorf("driver: %T is not a command", in)
		return 0
	}
	l.waiters[ref] = answer
	d.handle(in, classEstablished)
	return ref
}

// finish passes a command's outcome on. Each answer channel has room for its one answer.
func (d *Driver) finish(f ike.Done) {
	if answer, ok := d.loop.waiters[f.Ref]; ok {
		delete(d.loop.waiters, f.Ref)
		answer <- f.Err
	}
}

// SetPeers replaces the configured peers and returns when the engine knows them; what becomes of their SAs takes its time.
// The engine keeps the slice.
func (d *Driver) SetPeers(ctx context.Context, peers []ike.Peer) error {
	return d.call(ctx, func() {
		d.history.keepOnly(peers)
		d.handle(ike.SetPeers{Peers: peers}, classEstablished)
	})
}

// ChangePeers adds, changes and removes single peers, and returns when the engine knows; what becomes of their SAs takes its time. The engine keeps what c holds.
func (d *Driver) ChangePeers(ctx context.Context, c ike.ChangePeers) error {
	return d.call(ctx, func() {
		d.history.change(c)
		d.handle(c, classEstablished)
	})
}

// AddressesChanged says that addresses, links or routes of this host changed. It never blocks;
// several calls are one while the first waits for its turn.
func (d *Driver) AddressesChanged() {
	select {
	case d.host <- struct{}{}:
	default:
	}
}

// statusPart is how many peers one turn of the control goroutine tells of: a snapshot of very many is made in parts, with other things in between.
const statusPart = 256

// Status is a snapshot of every configured peer, and the counters of engine and driver together, by names that begin with "ike_".
func (d *Driver) Status(ctx context.Context) (peers []ike.PeerStatus, counters map[string]uint64, err error) {
	var part []ike.PeerStatus
	for next, first := uint64(0), true; err == nil && (first || next != 0); first = false {
		err = d.call(ctx, func() {
			if first {
				d.handle(ike.Wake{}, classEstablished) // tells the engine what time it is, for "next try in 12 s"
				counters = d.cfg.Engine.Counters()
			}
			part, next = d.cfg.Engine.StatusPart(next, statusPart)
		})
		peers = append(peers, part...)
	}
	if err != nil {
		return nil, nil, err
	}
	if counters == nil {
		counters = map[string]uint64{}
	}
	d.counts.addTo(counters)
	counters["ike_dropped_queue_established"] += d.queues[classEstablished].dropped.Load()
	counters["ike_dropped_queue_auth"] += d.queues[classAuth].dropped.Load()
	counters["ike_dropped_queue_init"] += d.queues[classInit].dropped.Load()
	return peers, counters, nil
}

// StatusOf is a snapshot of one peer; ok is false if the engine knows none of that name.
func (d *Driver) StatusOf(ctx context.Context, peer string) (st ike.PeerStatus, ok bool, err error) {
	err = d.call(ctx, func() {
		d.handle(ike.Wake{}, classEstablished)
		st, ok = d.cfg.Engine.StatusOf(peer)
	})
	return st, ok, err
}

func (c *counts) addTo(m map[string]uint64) {
	m["ike_panic"] += c.panics.Load()
	m["ike_compute_panic"] += c.computePanics.Load()
	m["ike_send_error"] += c.sendErrors.Load()
	m["ike_read_error"] += c.readErrors.Load()
	m["ike_install_error"] += c.installErrors.Load()
}

// Shutdown has the engine delete every SA and waits until Run has ended, which takes less than a second, or until ctx ends.
// Ending Run's context does the same.
func (d *Driver) Shutdown(ctx context.Context) error {
	d.stopOnce.Do(func() { close(d.stop) })
	select {
	case <-d.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errPanicked is the answer to a command that panicked, of which the log tells.
var errPanicked = errors.New("internal error: see the log")

// call runs f on the control goroutine and waits for it. On error, f did not run and will not, unless it was f that panicked.
func (d *Driver) call(ctx context.Context, f func()) error {
	ran := make(chan error, 1)
	command := func() {
		defer func() {
			if why := recover(); why != nil {
				d.panicked("a command panicked", why)
				ran <- errPanicked
			}
		}()
		f()
		ran <- nil
	}
	select {
	case <-ctx.Done(): // a context that is over never gets a turn by chance
		return ctx.Err()
	default:
	}
	select {
	case d.commands <- command:
		return <-ran
	case <-d.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}
