package driver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
)

// online has the engine ask, for each datagram, for a computation that waits for the network if its
// text begins with "net". Those wait for gate.
func (r *rig) online(gate <-chan struct{}) {
	id := uint64(0)
	r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
		switch in := in.(type) {
		case ike.Datagram:
			id++
			text := string(in.Data[28:])
			fx.List = append(fx.List, ike.Compute{ID: id, Online: strings.HasPrefix(text, "net"), Run: func() any {
				r.journal.add("run %s", text)
				switch {
				case text == "net panic":
					panic("bad answer")
				case strings.HasPrefix(text, "net"):
					<-gate
				}
				return text
			}})
		case ike.Shutdown:
			fx.List = append(fx.List, ike.Stopped{})
		}
	}
}

// Computations that wait for the network hold up no others, of no class, and run up to maxOnline at
// a time; the next one begins when one ends.
func TestOnlineHoldsUpNothing(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		r.online(gate)
		for i := range maxOnline + 2 {
			r.Deliver(overUDP, message(authExchange, false, fmt.Sprint("net", i)))
			synctest.Wait()
		}
		if got := strings.Join(r.journal.take(), "; "); strings.Count(got, "run net") != maxOnline {
			t.Errorf("%d run, want %d", strings.Count(got, "run net"), maxOnline)
		}
		r.Deliver(overUDP, message(initExchange, false, "newcomer"))
		r.Deliver(overUDP, message(infoExchange, false, "rekey"))
		synctest.Wait()
		got := strings.Join(r.journal.take(), "; ")
		for _, want := range []string{": newcomer", ": rekey"} {
			if !strings.Contains(got, want) {
				t.Errorf("got %s, want %s in it", got, want)
			}
		}
		gate <- struct{}{}
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); strings.Count(got, "run net") != 1 || strings.Count(got, ": net") != 1 {
			t.Errorf("after the end of one: %s", got)
		}
		close(gate)
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); strings.Count(got, ": net") != maxOnline+1 {
			t.Errorf("%d of %d have a result", strings.Count(got, ": net"), maxOnline+1)
		}
		r.call(context.Background(), func() {
			if o := &r.loop.online; o.running != 0 || o.waiting != nil {
				t.Errorf("%d run, and %d wait, after the end of all", o.running, len(o.waiting))
			}
		})
	})
}

func TestOnlinePanics(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.online(nil)
		r.Deliver(overUDP, message(authExchange, false, "net panic"))
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); !strings.Contains(got, "computed 1: internal error in a computation: bad answer") {
			t.Errorf("got %s", got)
		}
	})
}

// The end of Run does not wait for the network, and those that do wait end.
func TestStopWaitsForNoNetwork(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		r.online(gate)
		r.Deliver(overUDP, message(authExchange, false, "net"))
		synctest.Wait()
		begin := time.Now()
		if err := r.Shutdown(context.Background()); err != nil || time.Since(begin) > 0 {
			t.Errorf("the end took %v, %v", time.Since(begin), err)
		}
		close(gate)
	})
}
