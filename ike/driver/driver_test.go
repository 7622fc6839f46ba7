package driver

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
)

// Without a configured number there is a worker for each processor.
func TestWorkers(t *testing.T) {
	for asked, want := range map[int]int{-1: runtime.GOMAXPROCS(0), 0: runtime.GOMAXPROCS(0), 1: 1, 99: 99} {
		if got := New(Config{Workers: asked}).cfg.Workers; got != want {
			t.Errorf("%d are asked for: got %d, want %d", asked, got, want)
		}
	}
}

// wakeAt sets the engine's deadline, on the control goroutine, which owns the engine.
func (r *rig) wakeAt(in time.Duration) {
	r.t.Helper()
	if err := r.call(context.Background(), func() { r.engine.deadline = time.Now().Add(in) }); err != nil {
		r.t.Fatal(err)
	}
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
		if err := r.SetPeers(ctx, nil, noFollow); err != ErrStopped {
			t.Errorf("SetPeers: got %v", err)
		}
		if _, _, err := r.Status(ctx); err != ErrStopped {
			t.Errorf("Status: got %v", err)
		}
		if r.Deliver(overUDP, nil) {
			t.Error("a datagram was taken after the end")
		}
		if err := r.Run(ctx); err == nil {
			t.Error("Run ran twice")
		}
	})
}

// An engine that does not stop has 0.8 seconds. Meanwhile messages are handled, and waiting
// commands end with the driver.
func TestShutdownGrace(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(time.Time, ike.Input, *ike.Effects) {}
		outcome := make(chan error, 1)
		go func() { outcome <- r.Do(context.Background(), ike.Connect{Peer: "right"}) }()
		r.want("a command", "connect right/")
		start := time.Now()
		r.cancel()
		r.want("deletes", "shutdown")
		r.Deliver(overUDP, message(infoExchange, true, "deleted"))
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

// Without a running Run, Shutdown ends with its context.
func TestShutdownContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := newRig(t).Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}
