package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culvert/esp"
	"culvert/ike"
	"culvert/selector"
)

func TestDatagrams(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.transport.arrive <- arrival{data: message(infoExchange, false, "one")}
		r.want("the IKE port", "datagram 192.0.2.2:500>192.0.2.1:500 nat=false one")
		r.transport.arrive <- arrival{data: message(infoExchange, false, "nat"), natPort: true}
		r.want("the NAT port", "datagram 192.0.2.2:500>192.0.2.1:500 nat=true nat")
		data := message(infoExchange, false, "two")
		if !r.Deliver(here, there, true, data) {
			t.Error("not delivered")
		}
		clear(data) // the caller's buffer again
		r.want("the NAT port", "datagram 192.0.2.2:500>192.0.2.1:500 nat=true two")
	})
}

// Computations have a worker for each processor, unless the configuration has a number.
func TestWorkers(t *testing.T) {
	for asked, want := range map[int]int{-1: runtime.GOMAXPROCS(0), 0: runtime.GOMAXPROCS(0), 1: 1, 99: 99} {
		if got := New(Config{Workers: asked}).cfg.Workers; got != want {
			t.Errorf("%d are asked for: got %d, want %d", asked, got, want)
		}
	}
}

// The order of effects is the engine's contract.
func TestEffectsInOrder(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		answer[ike.Acquire](r,
			ike.InstallInbound{SA: esp.ChildSA{ID: 3}},
			ike.Send{Remote: there, NATPort: true, Data: []byte("hello")},
			ike.ActivateOutbound{ID: 3},
			ike.SetEndpoint{ID: 3, Endpoint: esp.Endpoint{Remote: there}},
			ike.Send{Remote: there, Keepalive: true},
			ike.DeactivateOutbound{ID: 2},
			ike.RemoveSA{ID: 2},
			ike.Send{Remote: there, NATPort: true, DontFragment: true, Data: []byte("large")},
			ike.Send{Remote: there, FragmentSize: 576, Data: []byte("again")},
			ike.PathProbed{PathProbe: esp.PathProbe{ID: 3, Size: 1500, Sent: 1488, Verdict: esp.PathLost}},
			ike.AcquireFailed{Policy: esp.Policy{Peer: "right", Child: "lan"}},
			ike.Resolve{Peer: "right"},
		)
		r.plane.tell(esp.Event{Kind: esp.EventAcquire, Policy: esp.Policy{Peer: "right", Child: "lan"}, Flow: selector.Flow{Protocol: 1}, Resource: 2})
		synctest.Wait()
		got := r.journal.take()
		if len(got) == 0 || !strings.HasPrefix(got[0], "acquire {Policy:{Peer:right Child:lan}") || !strings.HasSuffix(got[0], "Resource:2}") {
			t.Fatalf("got %q", got)
		}
		r.journal.lines = got[1:]
		r.want("in the engine's order", "install 3", "send 192.0.2.2:500 nat=true hello", "activate 3", "endpoint 3 192.0.2.2:500",
			"keepalive 192.0.2.2:500", "deactivate 2", "remove 2", "send whole 192.0.2.2:500 nat=true large", "send in parts of 576 192.0.2.2:500 nat=false again", "path 3: 1488 of 1500: 2", "acquire failed right/lan", "resolve right")
	})
}

func TestPlaneEvents(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.plane.tell(
			esp.Event{Kind: esp.EventExpire, ID: 4, Hard: true},
			esp.Event{Kind: esp.EventFirstInbound, ID: 5},
			esp.Event{Kind: esp.EventFirstInbound, ID: 6},
			esp.Event{Kind: esp.EventFirstInbound, ID: 77},
			esp.Event{Kind: esp.EventPeerMoved, ID: 7, Remote: there},
			esp.Event{Kind: esp.EventSourceGone, ID: 8},
			esp.Event{Kind: esp.EventProbePath, ID: 9, Size: 1500},
		)
		r.want("events", "expire {ID:4 Hard:true}", "traffic 5 in=true", "traffic 6 in=true", "peermoved {ID:7 Remote:192.0.2.2:500}", "sourcegone {ID:8}", "probepath {ID:9 Size:1500}")

		answer[ike.Wake](r, ike.NeedTraffic{ID: 3}, ike.NeedTraffic{ID: 4}, ike.NeedTraffic{ID: 88}, ike.Send{Remote: there})
		r.wakeAt(time.Second)
		time.Sleep(time.Second)
		r.want("polled, after the effects", "wake", "send 192.0.2.2:500 nat=false ", "traffic 3 in=true", "traffic 4 in=false", "traffic 88 in=false")
	})
}

// The host's addresses changed: whoever says so waits for nothing. And a send that has no route
// says so by itself, but not each time.
func TestAddressesChanged(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.call(context.Background(), func() {
			for range 100 {
				r.AddressesChanged()
			}
		})
		r.want("many calls", "addresseschanged {}")
		r.transport.refuse = fmt.Errorf("%w: invalid argument", ErrNoRoute)
		answer[ike.Wake](r, ike.Send{Remote: there}, ike.Send{Remote: there, Keepalive: true})
		send := func() { r.call(context.Background(), func() { r.handle(ike.Wake{}, classEstablished) }) }
		send()
		r.want("without a route", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500", "addresseschanged {}")
		send()
		r.want("again", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500")
		time.Sleep(sourcesEvery)
		send()
		r.want("later", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500", "addresseschanged {}")
		time.Sleep(sourcesEvery)
		r.transport.refuse = errors.New("operation not permitted")
		send()
		r.want("refused for another reason", "wake", "send 192.0.2.2:500 nat=false ", "keepalive 192.0.2.2:500")
	})
}

// wakeAt sets the engine's deadline, on the control goroutine, where the engine lives.
func (r *rig) wakeAt(in time.Duration) {
	r.t.Helper()
	if err := r.call(context.Background(), func() { r.engine.deadline = time.Now().Add(in) }); err != nil {
		r.t.Fatal(err)
	}
}

// TestKeysAreCleared: once the dataplane has had the keys of a Child SA the driver's memory does
// not hold them, whether it took the SA, refused it or panicked.
func TestKeysAreCleared(t *testing.T) {
	for name, set := range map[string]func(p *fakePlane){
		"taken":    func(*fakePlane) {},
		"refused":  func(p *fakePlane) { p.refuse = errors.New("no room") },
		"panicked": func(p *fakePlane) { p.panics = true },
	} {
		drive(t, func(t *testing.T, r *rig) {
			set(r.plane)
			keymat := []byte("initiator's key!responder's key!")
			answer[ike.Computed](r, ike.InstallInbound{SA: esp.ChildSA{ID: 3, KeyIn: keymat[:16:16], KeyOut: keymat[16:]}})
			r.call(context.Background(), func() { r.handle(ike.Computed{ID: 1}, classEstablished) })
			synctest.Wait()
			if string(r.plane.keys) != "initiator's key!responder's key!" {
				t.Errorf("%s: the dataplane was given %q", name, r.plane.keys)
			}
			if !bytes.Equal(keymat, make([]byte, 32)) {
				t.Errorf("%s: %q is left", name, keymat)
			}
		})
	}
}

// An SA that the dataplane refuses is closed, for the peer believes in it.
func TestInstallRefused(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.plane.refuse = errors.New("no room")
		answer[ike.Computed](r, ike.InstallInbound{SA: esp.ChildSA{ID: 3, Policy: esp.Policy{Peer: "right", Child: "lan"}}}, ike.Send{Remote: there})
		r.call(context.Background(), func() { r.handle(ike.Computed{ID: 1}, classEstablished) })
		r.want("refused", "computed 1: <nil>", "install 3", "send 192.0.2.2:500 nat=false ", "expire {ID:3 Hard:true}")
		if h := r.History("right"); len(h) != 1 || h[0].Event != "install-failed" || !strings.Contains(h[0].Text, "no room") {
			t.Errorf("got history %+v", h)
		}
		if got := r.counter("ike_install_error"); got != 1 {
			t.Errorf("got %d, want 1", got)
		}
	})
}

func TestWakes(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.want("no deadline, nothing to do")
		r.engine.script = func(now time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Wake:
				r.journal.add("at %v", now.Sub(r.engine.deadline))
				r.engine.deadline = time.Time{}
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.wakeAt(time.Minute)
		time.Sleep(time.Minute - time.Nanosecond)
		r.want("too early")
		time.Sleep(time.Nanosecond)
		r.want("on time", "wake", "at 0s")
		time.Sleep(time.Hour)
		r.want("no deadline any more")
		r.wakeAt(time.Hour)
		time.Sleep(time.Minute)
		r.wakeAt(time.Minute) // an earlier one
		time.Sleep(time.Minute)
		r.want("the earlier deadline", "wake", "at 0s")
		time.Sleep(minWake)
		r.wakeAt(-time.Minute)
		r.want("a deadline of the past", "wake", "at 1m0s")
	})
}

// The time that the engine takes for one Wake does not make the next one late.
func TestSlowWakeDoesNotDelayTheNext(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		var first time.Time
		r.engine.script = func(now time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Wake:
				if first.IsZero() {
					first = now
					r.engine.deadline = now.Add(time.Second)
					time.Sleep(400 * time.Millisecond)
					return
				}
				r.journal.add("%v later", now.Sub(first))
				r.engine.deadline = time.Time{}
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.wakeAt(0)
		time.Sleep(2 * time.Second)
		r.want("the second on time", "wake", "wake", "1s later")
	})
}

// A deadline that stays in the past, which would be a bug of the engine, does not take a core.
func TestStuckDeadline(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.wakeAt(0)
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if got := len(r.journal.take()); got < 5 || got > 12 {
			t.Errorf("%d wakes in 10 ms", got)
		}
		r.call(context.Background(), func() { r.engine.deadline = time.Time{} })
	})
}

func TestShutdown(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		if err := r.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		r.want("deletes first", "shutdown")
		ctx := context.Background()
		if err := r.Do(ctx, ike.Connect{}); err != ErrStopped {
			t.Errorf("Do: got %v", err)
		}
		if err := r.SetPeers(ctx, nil); err != ErrStopped {
			t.Errorf("SetPeers: got %v", err)
		}
		if _, _, err := r.Status(ctx); err != ErrStopped {
			t.Errorf("Status: got %v", err)
		}
		if r.Deliver(here, there, false, nil) {
			t.Error("a datagram was taken after the end")
		}
		if err := r.Run(ctx); err == nil {
			t.Error("Run ran twice")
		}
	})
}

// An engine that is not done has 0.8 seconds; meanwhile the peers' messages are still handled, and commands that wait end with the daemon.
func TestShutdownGrace(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(time.Time, ike.Input, *ike.Effects) {}
		outcome := make(chan error, 1)
		go func() { outcome <- r.Do(context.Background(), ike.Connect{Peer: "right"}) }()
		r.want("a command", "connect right/")
		start := time.Now()
		r.cancel()
		r.want("deletes", "shutdown")
		r.Deliver(here, there, false, message(infoExchange, true, "deleted"))
		r.want("an answer", "datagram 192.0.2.2:500>192.0.2.1:500 nat=false deleted")
		if err := <-outcome; err != ErrStopped {
			t.Errorf("the command: got %v", err)
		}
		if got := time.Since(start); got != shutdownGrace {
			t.Errorf("ended after %v", got)
		}
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.Shutdown(short); err != nil {
			t.Errorf("Shutdown after the end: %v", err)
		}
	})
}

// Without a Run that ends, Shutdown ends with its context.
func TestShutdownContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := newRig(t).Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}
