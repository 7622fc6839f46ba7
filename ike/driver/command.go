package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"culvert/ike"
	"culvert/internal/ipsec"
)

// maxWaiters bounds the commands that wait for their outcome.
const maxWaiters = 1024

// Do hands an ike.Connect, ike.Disconnect or ike.Rekey to the engine and waits for its outcome; its
// error explains a failure. Do sets the Ref of the input. If ctx ends first, Do returns its error
// and the engine goes on with the command. After the end of Run it returns ErrStopped.
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

// lastWord returns an answer that came together with the end of Run, otherwise ErrStopped.
func (d *Driver) lastWord(answer <-chan error) error {
	select {
	case err := <-answer:
		return err
	default:
		return ErrStopped
	}
}

// begin runs on the control goroutine. It registers the waiter before the engine handles the
// command, because the engine may answer at once.
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

// finish passes the outcome of a command on. Each answer channel has room for its one answer.
func (d *Driver) finish(f ike.Done) {
	if answer, ok := d.loop.waiters[f.Ref]; ok {
		delete(d.loop.waiters, f.Ref)
		answer <- f.Err
	}
}

// A Follow brings a change of policies into force: set has all policies of the peers that are added
// or changed, and gone those that are no longer needed.
type Follow func(set []ipsec.Policy, gone []ipsec.PolicyID) error

// SetPeers replaces the configured peers and returns once the engine has them; it does not wait for
// the changes of their SAs. Before the engine acts for a peer, follow brings its policies into
// force, on the goroutine of the caller; it receives those of all peers. If follow returns an
// error, the engine keeps the peers that it has. The engine keeps the slice.
func (d *Driver) SetPeers(ctx context.Context, peers []ike.Peer, follow Follow) error {
	if err := d.plan(ctx, ike.PlanPeers{Set: peers, Whole: true}, follow); err != nil {
		return err
	}
	return d.call(ctx, func() {
		d.history.keepOnly(peers)
		d.handle(ike.SetPeers{Peers: peers}, classEstablished)
	})
}

// ChangePeers adds, changes and removes single peers, and returns once the engine has them; it does
// not wait for the changes of their SAs. follow is called as by SetPeers, but with the policies of
// the peers in c. The engine keeps the contents of c.
func (d *Driver) ChangePeers(ctx context.Context, c ike.ChangePeers, follow Follow) error {
	if err := d.plan(ctx, ike.PlanPeers{Set: c.Set, Gone: c.Gone}, follow); err != nil {
		return err
	}
	return d.call(ctx, func() {
		d.history.change(c)
		d.handle(c, classEstablished)
	})
}

// plan asks the engine for the policies of a change of peers, and has follow bring them into force.
// That may take long, for the kernel's tables, and so is not done on the control goroutine. Without
// a whole plan, follow is not called: it would take policies for gone that the engine did not tell.
func (d *Driver) plan(ctx context.Context, in ike.PlanPeers, follow Follow) error {
	var set []ipsec.Policy
	var gone []ipsec.PolicyID
	var failed error
	err := d.call(ctx, func() {
		switch {
		case d.loop.stopping:
			failed = ErrStopped
			return
		case !d.guarded(in):
			failed = errPanicked
		}
		set, gone = takePolicies(&d.loop.fx)
		d.carryOut(classEstablished)
	})
	if err = cmp.Or(err, failed); err != nil {
		return err
	}
	return follow(set, gone)
}

// takePolicies takes the changes of policies out of the effects.
func takePolicies(fx *ike.Effects) (set []ipsec.Policy, gone []ipsec.PolicyID) {
	fx.List = slices.DeleteFunc(fx.List, func(f ike.Effect) bool {
		switch f := f.(type) {
		case ike.InstallPolicy:
			set = append(set, f.Policy)
		case ike.RemovePolicy:
			gone = append(gone, f.ID)
		default:
			return false
		}
		return true
	})
	return set, gone
}

// AddressesChanged tells the engine that addresses, links or routes of this host changed. It never
// blocks; calls that the control goroutine has not handled yet are merged.
func (d *Driver) AddressesChanged() {
	select {
	case d.host <- struct{}{}:
	default:
	}
}

// Shutdown has the engine delete every SA and waits until Run has ended, which takes less than a
// second, or until ctx ends. The end of Run's context does the same.
func (d *Driver) Shutdown(ctx context.Context) error {
	d.stopOnce.Do(func() { close(d.stop) })
	select {
	case <-d.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errPanicked is the answer to a command that panicked; the log has the details.
var errPanicked = errors.New("internal error: see the log")

// call runs f on the control goroutine and waits for it. After an error f did not run and will not,
// unless f itself panicked.
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
	case <-ctx.Done(): // select chooses at random, but an ended context must never run f
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
