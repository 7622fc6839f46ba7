package driver

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
	"culvert/internal/ipsec"
)

// commandRef returns the Ref of a command.
func commandRef(in ike.Input) uint64 {
	switch c := in.(type) {
	case ike.Connect:
		return c.Ref
	case ike.Disconnect:
		return c.Ref
	case ike.Rekey:
		return c.Ref
	}
	return 0
}

func TestDo(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		failed := errors.New("no proposal chosen")
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Connect: // later, by Wake
				ref := commandRef(in)
				r.engine.deadline = time.Now().Add(time.Second)
				previous := r.engine.script
				r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
					r.engine.deadline, r.engine.script = time.Time{}, previous
					fx.List = append(fx.List, ike.Done{Ref: ref + 99}, ike.Done{Ref: ref, Err: failed})
				}
			case ike.Disconnect, ike.Rekey: // at once
				fx.List = append(fx.List, ike.Done{Ref: commandRef(in)})
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		ctx := context.Background()
		start := time.Now()
		if err := r.Do(ctx, ike.Connect{Peer: "right", Child: "lan"}); err != failed || time.Since(start) != time.Second {
			t.Errorf("Connect: got %v after %v", err, time.Since(start))
		}
		if err := r.Do(ctx, ike.Disconnect{Peer: "right"}); err != nil {
			t.Errorf("Disconnect: %v", err)
		}
		if err := r.Do(ctx, ike.Rekey{Peer: "right", Child: "lan", Ref: 12345}); err != nil {
			t.Errorf("Rekey: %v", err)
		}
		if err := r.Do(ctx, ike.Wake{}); err == nil {
			t.Error("Wake is not a command")
		}
		r.call(ctx, func() {
			if ref := r.begin(ike.Wake{}, make(chan error, 1)); ref != 0 {
				t.Errorf("what is not a command has the reference %d, which is another's", ref)
			}
		})
		r.want("inputs", "connect right/lan", "wake", "disconnect right/", "rekey right/lan")
	})
}

// A caller that stops waiting leaves nothing behind.
func TestDoCancelled(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.Do(ctx, ike.Connect{}); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		r.call(context.Background(), func() {
			if n := len(r.loop.waiters); n != 0 {
				t.Errorf("%d waiters", n)
			}
		})
		if err := r.Do(ctx, ike.Connect{}); err != context.DeadlineExceeded {
			t.Errorf("with a context that is over: got %v", err)
		}
		r.want("the second never reached the engine", "connect /")
	})
}

func TestTooManyCommands(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		for range maxWaiters {
			go r.Do(ctx, ike.Connect{})
		}
		synctest.Wait()
		if err := r.Do(ctx, ike.Connect{}); err == nil {
			t.Error("no bound")
		}
		cancel()
		synctest.Wait()
		answer[ike.Connect](r, ike.Done{Ref: maxWaiters + 1})
		if err := r.Do(context.Background(), ike.Connect{}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestPeers(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		if err := r.SetPeers(ctx, make([]ike.Peer, 2), noFollow); err != nil {
			t.Error(err)
		}
		r.want("peers", "plan +2 -0 whole=true", "peers 2")
		if err := r.ChangePeers(ctx, ike.ChangePeers{Set: make([]ike.Peer, 1), Gone: []string{"a", "b"}}, noFollow); err != nil {
			t.Error(err)
		}
		r.want("a change", "plan +1 -2 whole=false", "peers +1 -2")
	})
}

// The policies of new peers are in force, on the caller's goroutine, before the engine has the
// peers, and an error of that leaves it as it is.
func TestPoliciesComeBeforePeers(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.PlanPeers:
				fx.List = append(fx.List, ike.InstallPolicy{Policy: ipsec.Policy{ID: 4}}, ike.Resolve{Peer: "x"}, ike.RemovePolicy{ID: 3}, ike.InstallPolicy{Policy: ipsec.Policy{ID: 5}})
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		failed := errors.New("the guard is broken")
		for _, err := range []error{nil, failed} {
			follow := func(set []ipsec.Policy, gone []ipsec.PolicyID) error {
				// Were this the control goroutine, no command would be handled meanwhile.
				if _, _, err := r.StatusOf(t.Context(), "right"); err != nil {
					t.Error(err)
				}
				r.journal.add("follow %d %d, without %v", set[0].ID, set[1].ID, gone)
				return err
			}
			if got := r.SetPeers(t.Context(), nil, follow); got != err {
				t.Errorf("SetPeers: got %v, want %v", got, err)
			}
			if got := r.ChangePeers(t.Context(), ike.ChangePeers{}, follow); got != err {
				t.Errorf("ChangePeers: got %v, want %v", got, err)
			}
		}
		const told = "follow 4 5, without [3]"
		r.want("in order",
			"plan +0 -0 whole=true", "resolve x", "wake", told, "peers 0", "plan +0 -0 whole=false", "resolve x", "wake", told, "peers +0 -0",
			"plan +0 -0 whole=true", "resolve x", "wake", told, "plan +0 -0 whole=false", "resolve x", "wake", told)
	})
}

// Without a whole plan nothing is brought into force, and the engine keeps its peers.
func TestPlanThatIsNotWhole(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		follow := func([]ipsec.Policy, []ipsec.PolicyID) error { t.Error("half a plan is followed"); return nil }
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.PlanPeers:
				fx.List = append(fx.List, ike.InstallPolicy{Policy: ipsec.Policy{ID: 4}})
				panic("half a plan")
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		if err := r.SetPeers(t.Context(), nil, follow); err != errPanicked {
			t.Errorf("got %v", err)
		}
		r.want("after a panic", "plan +0 -0 whole=true")
		r.call(t.Context(), func() { r.loop.stopping = true })
		if err := r.ChangePeers(t.Context(), ike.ChangePeers{}, follow); err != ErrStopped {
			t.Errorf("got %v", err)
		}
		r.call(t.Context(), func() { r.loop.stopping = false })
		r.want("while stopping")
	})
}

// The policies of parties come and go with them, in the order of the effects.
func TestPoliciesOfParties(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		name := ipsec.PolicyName{Peer: "right", Party: "alice", Child: "lan"}
		answer[ike.Wake](r, ike.InstallPolicy{Policy: ipsec.Policy{ID: 4, Name: name}}, ike.InstallInbound{SA: ipsec.ChildSA{ID: 3}}, ike.RemovePolicy{ID: 4})
		r.call(t.Context(), func() { r.handle(ike.Wake{}, classEstablished) })
		r.want("a party", "wake", "policy 4 right#alice/lan", "policies +1 -0", "install 3", "policies +0 -1")
		r.plane.refuse = errors.New("impossible")
		answer[ike.Wake](r, ike.RemovePolicy{ID: 4})
		r.call(t.Context(), func() { r.handle(ike.Wake{}, classEstablished) })
		if n := r.counts.installErrors.Load(); n != 1 {
			t.Errorf("%d errors are counted", n)
		}
		r.want("refused", "wake", "policies +0 -1")
	})
}

// A command before Run waits for it, or for its own context.
func TestCommandBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := newRig(t).SetPeers(ctx, nil, noFollow); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}

// AddressesChanged never waits. A send without a route reports changed addresses by itself, but at
// a bounded rate.
func TestAddressesChanged(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.call(context.Background(), func() {
			for range 100 {
				r.AddressesChanged()
			}
		})
		r.want("many calls", "addresseschanged {}")
		r.transport.refuse = fmt.Errorf("%w: invalid argument", ErrNoRoute)
		answer[ike.Wake](r, ike.Send{Path: overUDP}, ike.Send{Path: overUDP, Keepalive: true})
		send := func() { r.call(context.Background(), func() { r.handle(ike.Wake{}, classEstablished) }) }
		send()
		r.want("without a route", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500", "addresseschanged {}")
		send()
		r.want("again", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500")
		time.Sleep(10*time.Second - 1)
		send()
		r.want("too soon", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500")
		time.Sleep(time.Nanosecond)
		send()
		r.want("later", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500", "addresseschanged {}")
		time.Sleep(sourcesEvery)
		r.transport.refuse = errors.New("operation not permitted")
		send()
		r.want("refused for another reason", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500")
		r.transport.refuse = &ipsec.SendError{Why: ipsec.ObstacleFirewall, Err: errors.New("operation not permitted")}
		answer[ike.Wake](r, ike.Send{Path: overUDP})
		send()
		r.want("refused by this host", "wake", "send 192.0.2.2:500 nat=false ",
			"unreachable 0 a firewall of this host refuses what is sent (EPERM) by invalid IP: 192.0.2.1:500 to 192.0.2.2:500 by udp")
	})
}
