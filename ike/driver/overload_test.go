package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culvert/esp"
	"culvert/ike"
)

// One datagram that makes the engine panic is counted and logged, what was asked for before is done, and the next one is handled.
func TestPanicInHandle(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in := in.(type) {
			case ike.Datagram:
				fx.List = append(fx.List, ike.Send{Remote: there, Data: []byte("before")})
				if strings.HasSuffix(string(in.Data), "evil") {
					panic("index out of range")
				}
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		for _, text := range []string{"evil", "evil", "good"} {
			r.Deliver(here, there, false, message(infoExchange, false, text))
		}
		line := "datagram 192.0.2.2:500>192.0.2.1:500 nat=false "
		send := "send 192.0.2.2:500 nat=false before"
		r.want("life goes on", line+"evil", send, line+"evil", send, line+"good", send)
		if got := r.counter("ike_panic"); got != 2 {
			t.Errorf("got %d panics, want 2", got)
		}
		if got := strings.Count(r.logged.String(), "index out of range"); got != 1 {
			t.Errorf("logged %d times in one second, want 1:\n%s", got, r.logged)
		}
		if !strings.Contains(r.logged.String(), "overload_test.go") {
			t.Errorf("no stack in the log:\n%s", r.logged)
		}
	})
}

// A Wake that panics each time does not spin.
func TestPanicInWake(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Wake:
				panic("again")
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.wakeAt(0)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(r.journal.take()); got < 5 || got > 12 {
			t.Errorf("%d wakes in a second", got)
		}
		r.call(context.Background(), func() { r.engine.deadline = time.Time{} })
	})
}

// Whoever can make the engine panic does not stop its clock with that.
func TestPanicsDoNotDelayWake(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Datagram:
				panic("index out of range")
			case ike.Wake:
				r.engine.deadline = time.Time{}
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.wakeAt(panicPause)
		for range 10 {
			r.Deliver(here, there, false, message(infoExchange, false, ""))
			time.Sleep(panicPause / 10)
		}
		synctest.Wait()
		if got := r.journal.take(); got[len(got)-1] != "wake" {
			t.Errorf("got %q, want a wake at the end", got)
		}
	})
}

// A bug of the dataplane or of the engine's snapshot ends neither the daemon nor the rest of what is to be done.
func TestPanicElsewhere(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.Driver.cfg.Plane = brokenPlane{r.plane}
		answer[ike.Datagram](r, ike.RemoveSA{ID: 1}, ike.Send{Remote: there, Data: []byte("after")})
		r.Deliver(here, there, false, message(infoExchange, false, "x"))
		r.want("the next effect", "datagram 192.0.2.2:500>192.0.2.1:500 nat=false x", "send 192.0.2.2:500 nat=false after")
		if err := r.call(context.Background(), func() { panic("bad snapshot") }); err == nil {
			t.Error("a command that panicked succeeded")
		}
		if got := r.counter("ike_panic"); got != 2 {
			t.Errorf("got %d panics, want 2", got)
		}
		if !strings.Contains(r.logged.String(), "RemoveSA") {
			t.Errorf("the log does not name the effect:\n%s", r.logged)
		}
	})
}

type brokenPlane struct{ *fakePlane }

func (brokenPlane) RemoveSA(esp.ChildID) { panic("nil map") }

// compute has the engine ask for a computation for each datagram; it waits for gate and gives the datagram's text.
func (r *rig) compute(gate <-chan struct{}) {
	id := uint64(0)
	r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
		switch in := in.(type) {
		case ike.Datagram:
			id++
			text := string(in.Data[28:])
			fx.List = append(fx.List, ike.Compute{ID: id, Run: func() any {
				r.journal.add("run %s", text)
				<-gate
				if text == "panic" {
					panic("bad point")
				}
				return text
			}})
		case ike.Shutdown:
			fx.List = append(fx.List, ike.Stopped{})
		}
	}
}

// Slow computations run elsewhere: meanwhile other datagrams are handled. Those of tunnels that are up go before those of strangers.
func TestComputePriority(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		r.compute(gate)
		for _, text := range []string{"a", "b", "c", "d"} {
			r.Deliver(here, there, false, message(initExchange, false, text))
		}
		synctest.Wait()
		r.Deliver(here, there, false, message(infoExchange, false, "rekey"))
		r.Deliver(here, there, false, message(authExchange, true, "answer"))
		synctest.Wait()
		r.journal.take()
		gate <- struct{}{}
		gate <- struct{}{}
		synctest.Wait()
		got := strings.Join(r.journal.take(), "; ")
		for _, want := range []string{"computed", "run rekey", "run answer"} {
			if !strings.Contains(got, want) {
				t.Errorf("got %s, want %s in it", got, want)
			}
		}
		if strings.Contains(got, "run c") || strings.Contains(got, "run d") {
			t.Errorf("strangers first: %s", got)
		}
		close(gate)
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); !strings.Contains(got, "computed 4: d") {
			t.Errorf("the strangers never: %s", got)
		}
	})
}

// What follows from a stranger's computation is a stranger's, too.
func TestComputeInheritsClass(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Datagram:
				fx.List = append(fx.List, ike.Compute{ID: 1, Run: func() any { return nil }})
			case ike.Computed:
				for range 3 {
					fx.List = append(fx.List, ike.Compute{ID: 2, Run: func() any { time.Sleep(time.Hour); return nil }})
				}
				r.engine.script = nil
			}
		}
		r.Deliver(here, there, false, message(authExchange, false, ""))
		synctest.Wait()
		r.call(context.Background(), func() {
			if f, n := len(r.loop.pool.first), len(r.loop.pool.newcomers); f != 0 || n != 1 {
				t.Errorf("got %d and %d jobs waiting, want 0 and 1", f, n)
			}
		})
	})
}

func TestComputePanics(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		close(gate)
		r.compute(gate)
		r.Deliver(here, there, false, message(infoExchange, false, "panic"))
		r.Deliver(here, there, false, message(infoExchange, false, "good"))
		synctest.Wait()
		got := strings.Join(r.journal.take(), "; ")
		if !strings.Contains(got, "computed 1: internal error in a computation: bad point") || !strings.Contains(got, "computed 2: good") {
			t.Errorf("got %s", got)
		}
		if got := r.counter("ike_compute_panic"); got != 1 {
			t.Errorf("got %d, want 1", got)
		}
	})
}

// A flood of strangers fills a bounded backlog and then its own queue; tunnels that are up do not notice.
func TestFlood(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		r.compute(gate)
		delivered := 0
		for i := range 5000 {
			if r.Deliver(here, there, false, message(initExchange, false, fmt.Sprint(i))) {
				delivered++
			}
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if want := 512 + 64 + 2; delivered != want { // queued, waiting for a worker, and with one
			t.Errorf("%d strangers' messages were taken, want %d", delivered, want)
		}
		if got := r.counter("ike_dropped_queue_init"); got != uint64(5000-delivered) {
			t.Errorf("got %d drops counted, want %d", got, 5000-delivered)
		}
		r.journal.take()
		if !r.Deliver(here, there, false, message(infoExchange, false, "rekey")) {
			t.Error("the queue of tunnels that are up is full")
		}
		r.want("the rekey", "datagram 192.0.2.2:500>192.0.2.1:500 nat=false rekey")
		gate <- struct{}{}
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); !strings.Contains(got, "run rekey") {
			t.Errorf("the rekey's computation waits: %s", got)
		}
		close(gate)
	})
}

// The queue is bounded in octets, too.
func TestQueueBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		big := append(message(infoExchange, false, ""), make([]byte, 60000)...)
		n := 0
		for r.Deliver(here, there, false, big) {
			n++
		}
		if want := 2 << 20 / len(big); n != want {
			t.Errorf("%d datagrams of %d octets were taken, want %d", n, len(big), want)
		}
		if !r.Deliver(here, there, false, message(initExchange, false, "")) {
			t.Error("one class fills the queue of another")
		}
		r.run()
		synctest.Wait()
		if !r.Deliver(here, there, false, big) {
			t.Error("the queue stays full")
		}
		r.cancel()
		<-r.ended
		close(r.transport.closed)
	})
}

func TestClassify(t *testing.T) {
	noResponder := message(infoExchange, false, "")
	noResponder[8] = 0
	for _, tt := range []struct {
		name string
		data []byte
		want class
	}{
		{"nothing", nil, classInit},
		{"27 octets", make([]byte, 27), classInit},
		{"IKE_SA_INIT request", message(initExchange, false, ""), classInit},
		{"IKE_SA_INIT response", message(initExchange, true, ""), classEstablished},
		{"IKE_AUTH request", message(authExchange, false, ""), classAuth},
		{"IKE_AUTH response", message(authExchange, true, ""), classEstablished},
		{"IKE_INTERMEDIATE request", message(43, false, ""), classAuth},
		{"INFORMATIONAL", message(infoExchange, false, ""), classEstablished},
		{"INFORMATIONAL without a responder's SPI", noResponder, classInit},
	} {
		if got := classify(tt.data); got != tt.want {
			t.Errorf("%s: got class %d, want %d", tt.name, got, tt.want)
		}
	}
}

// Errors of the sockets are counted, logged seldom, and end nothing.
func TestSocketErrors(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.transport.arrive <- arrival{err: errors.New("connection refused")}
		start := time.Now()
		r.transport.arrive <- arrival{data: message(infoExchange, false, "next")}
		if got := time.Since(start); got != minReadPause {
			t.Errorf("read again after %v", got)
		}
		r.want("reads on", "datagram 192.0.2.2:500>192.0.2.1:500 nat=false next")
		r.transport.refuse = errors.New("network is unreachable")
		answer[ike.Datagram](r, ike.Send{Remote: there})
		for range 3 {
			r.Deliver(here, there, false, message(infoExchange, false, ""))
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		r.Deliver(here, there, false, message(infoExchange, false, ""))
		synctest.Wait()
		if got := strings.Count(r.logged.String(), "network is unreachable"); got != 2 || !strings.Contains(r.logged.String(), "not_logged=2") {
			t.Errorf("logged %d times, want 2:\n%s", got, r.logged)
		}
		if r.counter("ike_send_error") != 4 || r.counter("ike_read_error") != 1 {
			t.Errorf("got %d send and %d read errors", r.counter("ike_send_error"), r.counter("ike_read_error"))
		}
	})
}
