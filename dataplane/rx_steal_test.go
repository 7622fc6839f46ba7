package dataplane

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// TestStolenFlows: with segments gathered, the order is that of each flow.
func TestStolenFlows(t *testing.T) {
	r := newRxOrderRig(t, 4096, func(c *Config) { c.Offloads = allOffloads })
	j := newJitter(1)
	for i := range r.queues {
		r.queues[i].onWrite = j.rarely(10)
	}
	r.start(t)
	r.asleep(t)
	last := make(map[uint32]uint32)
	r.untilStolen(func() {
		var traffic []netio.Received
		for range 300 {
			traffic = append(traffic, run(r.packets(40)))
		}
		r.ports[busy].in.put(nil, traffic...)
		for _, n := range r.delivered(t, 300*40) {
			if before, ok := last[n*7%5]; ok && n <= before {
				t.Errorf("packet %d after %d of the same flow", n, before)
			}
			last[n*7%5] = n
		}
	})
	if r.Counters()["batches_stolen"] == 0 {
		t.Error("nobody helped")
	}
}

// TestNothingIsStolenUnasked: as long as one worker can do it, it does, and the others sleep.
func TestNothingIsStolenUnasked(t *testing.T) {
	r := newRxOrderRig(t, 4096, nil)
	r.start(t)
	for range 3 * cyclePackets {
		r.ports[busy].in.put(nil, run(r.packets(3)))
		r.delivered(t, 3)
	}
	if n := r.Counters()["batches_stolen"]; n != 0 {
		t.Errorf("%d batches were helped with", n)
	}
}

// TestPanicOfAThief: a bug over a packet, whoever meets it and wherever, costs the batch it is in
// and holds nobody up.
func TestPanicOfAThief(t *testing.T) {
	for where, hook := range map[string]func(*rxOrderRig, func()){
		"receiving": func(r *rxOrderRig, f func()) { r.ports[busy].onRecv = f },
		"writing":   func(r *rxOrderRig, f func()) { r.queues[busy].onWrite = f },
	} {
		t.Run(where, func(t *testing.T) {
			const batches, size, bugs = 1200, 4, 20
			r := newRxOrderRig(t, esp.MinWindow, nil)
			var traffic []netio.Received
			for range batches {
				traffic = append(traffic, run(r.packets(size)))
			}
			var calls, panics atomic.Int64
			hook(r, func() {
				if calls.Add(1)%50 == 0 && panics.Add(1) <= bugs {
					panic("a bug")
				}
			})
			r.start(t)
			r.asleep(t)
			r.ports[busy].in.put(nil, traffic...)
			r.wantCounter(t, "panics", bugs)
			eventually(t, "all is received", func() bool { return r.ports[busy].in.len() == 0 })
			r.asleep(t)
			got := r.delivered(t, len(r.queues[busy].out))
			if !slices.IsSorted(got) || len(slices.Compact(got)) != len(got) || len(got) < (batches-bugs)*size {
				t.Errorf("delivered %d packets, in order: %v", len(got), slices.IsSorted(got))
			}
		})
	}
}

// TestStopWhileStealing: a stop under load ends soon, and nobody waits for a turn for ever.
func TestStopWhileStealing(t *testing.T) {
	for range 10 {
		r := newRxOrderRig(t, 0, nil) // without a window, so that the same packets are taken again and again
		r.start(t)
		r.asleep(t)
		stop := r.flood(t, run(r.packets(40)))
		eventually(t, "somebody helps", func() bool { return r.Counters()["batches_stolen"] > 0 })
		start := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
		stop()
	}
}

// TestThiefsOwnTraffic: who helps still serves its own queue and port.
func TestThiefsOwnTraffic(t *testing.T) {
	r := newRxOrderRig(t, 0, nil)
	if err := r.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	r.ActivateOutbound(1)
	var sent atomic.Int64
	for _, p := range r.ports {
		p.wiretap(func(*netio.Outgoing) { sent.Add(1) })
	}
	r.start(t)
	r.asleep(t)
	own := run(r.packets(1))
	r.flood(t, run(r.packets(40)))
	for round := range int64(10) {
		if round < 3 {
			helped := r.Counters()["batches_stolen"]
			eventually(t, "somebody helps", func() bool { return r.Counters()["batches_stolen"] > helped })
		}
		for _, i := range []int{0, 2} {
			r.queues[i].inject(udpPacket(src4, dst4, true, nil))
			r.ports[i].in.put(nil, own)
			r.queues[i].want(t)
		}
		eventually(t, "their own packets leave", func() bool { return sent.Load() == 2*(round+1) })
	}
}
