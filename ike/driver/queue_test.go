package driver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
)

func TestDatagrams(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.transport.arrive <- arrival{data: message(infoExchange, false, "one")}
		r.want("the IKE port", "datagram 192.0.2.2:500>192.0.2.1:500 nat=false one")
		r.transport.arrive <- arrival{data: message(infoExchange, false, "nat"), path: overNAT}
		r.want("the NAT port", "datagram 192.0.2.2:500>192.0.2.1:500 nat=true nat")
		data := message(infoExchange, false, "two")
		if !r.Deliver(overNAT, data) {
			t.Error("not delivered")
		}
		clear(data) // the caller reuses its buffer
		r.want("the NAT port", "datagram 192.0.2.2:500>192.0.2.1:500 nat=true two")
	})
}

// A flood of strangers fills a bounded backlog and then its own queue; established tunnels do not
// notice.
func TestFlood(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		r.compute(gate)
		delivered := 0
		for i := range 5000 {
			if r.Deliver(overUDP, message(initExchange, false, fmt.Sprint(i))) {
				delivered++
			}
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if want := 512 + 64 + 2; delivered != want { // queued, in the backlog, and with their workers
			t.Errorf("%d strangers' messages were taken, want %d", delivered, want)
		}
		if got := r.counter("ike_dropped_queue_init"); got != uint64(5000-delivered) {
			t.Errorf("got %d drops counted, want %d", got, 5000-delivered)
		}
		r.journal.take()
		if !r.Deliver(overUDP, message(infoExchange, false, "rekey")) {
			t.Error("the queue of tunnels that are up is full")
		}
		r.want("the rekey", "datagram 192.0.2.2:500>192.0.2.1:500 nat=false rekey", "run rekey")
		close(gate)
	})
}

// The queue is bounded in octets as well.
func TestQueueBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		big := append(message(infoExchange, false, ""), make([]byte, 60000)...)
		n := 0
		for r.Deliver(overUDP, big) {
			n++
		}
		if want := 2 << 20 / len(big); n != want {
			t.Errorf("%d datagrams of %d octets were taken, want %d", n, len(big), want)
		}
		if !r.Deliver(overUDP, message(initExchange, false, "")) {
			t.Error("one class fills the queue of another")
		}
		r.run()
		synctest.Wait()
		if !r.Deliver(overUDP, big) {
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

// TestPauseAfterErrors: the pause after a read that failed doubles up to a second, and is the
// shortest again after a datagram.
func TestPauseAfterErrors(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		failed := arrival{err: errors.New("connection refused")}
		r.transport.arrive <- failed
		for i, want := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
			start := time.Now()
			if r.transport.arrive <- failed; time.Since(start) != want*time.Millisecond {
				t.Errorf("after %d errors: read again after %v", i+1, time.Since(start))
			}
		}
		r.transport.arrive <- arrival{data: message(infoExchange, false, "next")}
		r.transport.arrive <- failed
		start := time.Now()
		if r.transport.arrive <- failed; time.Since(start) != minReadPause {
			t.Errorf("after a datagram: read again after %v", time.Since(start))
		}
	})
}

// Errors of the sockets are counted, rarely logged, and end nothing.
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
		answer[ike.Datagram](r, ike.Send{Path: overUDP})
		for range 3 {
			r.Deliver(overUDP, message(infoExchange, false, ""))
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		r.Deliver(overUDP, message(infoExchange, false, ""))
		synctest.Wait()
		if got := strings.Count(r.logged.String(), "network is unreachable"); got != 2 || !strings.Contains(r.logged.String(), "not_logged=2") {
			t.Errorf("logged %d times, want 2:\n%s", got, r.logged)
		}
		if r.counter("ike_send_error") != 4 || r.counter("ike_read_error") != 1 {
			t.Errorf("got %d send and %d read errors", r.counter("ike_send_error"), r.counter("ike_read_error"))
		}
	})
}
