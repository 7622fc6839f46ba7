package dataplane

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

// jitter holds a worker up, differently each time: what the scheduler, an interrupt or a slow
// system call does. The same seed draws the same delays.
type jitter struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newJitter(seed uint64) *jitter { return &jitter{rng: rand.New(rand.NewPCG(seed, 0))} }

// delay is mostly short, and sometimes long enough for the others to do many packets.
func (j *jitter) delay() {
	j.mu.Lock()
	n := j.rng.IntN(4)
	if j.rng.IntN(16) == 0 {
		n = j.rng.IntN(200)
	}
	j.mu.Unlock()
	for range n {
		runtime.Gosched()
	}
}

// enoughProcs lets all workers run at once, as the daemon does.
func enoughProcs(t testing.TB, workers int) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(before, workers+2))
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// rarely holds up one in n times.
func (j *jitter) rarely(n int) func() {
	return func() {
		if j.intN(n) == 0 {
			j.delay()
		}
	}
}

func (j *jitter) intN(n int) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rng.IntN(n)
}

// TestOneSAOutInOrder: several workers send on one SA, each held up here and there, and a peer with
// the smallest replay window there may be drops nothing (RFC 4303, Section 3.4.3), since what
// leaves is in the order of its sequence numbers.
func TestOneSAOutInOrder(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { oneSAOut(t, seed) })
	}
}

func oneSAOut(t *testing.T, seed uint64) {
	const workers, reads = 3, 60
	enoughProcs(t, workers)
	a := newGateway(t, workers, nil)
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	sa := childSA(t, a, a, 1)
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(1)
	peer := mirror(sa)
	peer.ReplayWindow = esp.MinWindow
	in, err := esp.NewInbound(peer.Inbound())
	if err != nil {
		t.Fatal(err)
	}
	j := newJitter(seed)
	var mu sync.Mutex
	var scratch esp.Scratch
	var last, gaps uint32
	arrived := func(pkt []byte) {
		seq := binary.BigEndian.Uint32(pkt[4:])
		if seq <= last {
			t.Errorf("packet %d left behind %d", seq, last)
		}
		gaps += seq - last - 1
		last = seq
		run := []esp.Packet{{Data: pkt}}
		if in.Open(&scratch, run); run[0].Err != nil {
			t.Errorf("packet %d: %v", seq, run[0].Err)
		}
	}
	for i, p := range a.ports {
		p.sending(func(*netio.Outgoing) error { j.delay(); return nil })
		p.wiretap(func(o *netio.Outgoing) {
			mu.Lock()
			defer mu.Unlock()
			for data := o.Data; len(data) > 0; {
				n := len(data)
				if o.SegSize > 0 {
					n = min(n, o.SegSize)
				}
				arrived(data[:n])
				data = data[n:]
			}
		})
		var list []gso.Packet
		for n := range reads {
			if (n+i)%3 == 0 {
				list = append(list, superPacket(src4, dst4, 1, make([]byte, 30000), 1388))
				continue
			}
			list = append(list, gso.Packet{Data: udpPacket(src6, dst6, true, make([]byte, n))})
		}
		a.queues[i].in.put(nil, list...)
	}
	a.start(t)
	const supers = reads / 3 * workers
	const want = supers*((30000+1387)/1388) + (reads*workers - supers)
	// On a machine that has other work, a worker may be held up for so long that others cannot
	// keep what they have to send. No other packet is missing.
	eventually(t, "all has left", func() bool {
		mu.Lock()
		defer mu.Unlock()
		lost := a.Counters()["out_send_errors"]
		return uint64(last-gaps)+lost == want
	})
}
