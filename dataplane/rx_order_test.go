package dataplane

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// rxOrderRig is a gateway of three workers, to the second of which everything comes.
type rxOrderRig struct {
	*gateway
	*peer
	sent []uint32 // the numbers of the packets that must be delivered, in their order
}

const busy = 1 // the worker

func newRxOrderRig(t *testing.T, window int, change func(*Config)) *rxOrderRig {
	const workers = 3
	enoughProcs(t, workers)
	g := newGateway(t, workers, change)
	sa := childSA(t, g, g, 1)
	sa.ReplayWindow = window
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	return &rxOrderRig{gateway: g, peer: newPeer(t, sa)}
}

// packets seals the next n packets, of several flows, all of one size.
func (r *rxOrderRig) packets(n int) (sealed [][]byte) {
	for range n {
		number := uint32(len(r.sent))
		src := netip.AddrPortFrom(src4.Addr(), uint16(1000+number*7%5))
		payload := binary.BigEndian.AppendUint32(make([]byte, 200), number)
		sealed = append(sealed, r.seal(esp.NextIPv4, udpPacket(dst4, src, true, payload)))
		r.sent = append(r.sent, number)
	}
	return sealed
}

// run is packets as one receive brings them.
func run(sealed [][]byte) netio.Received {
	return netio.Received{Data: slices.Concat(sealed...), SegSize: len(sealed[0]), Path: ipsec.NATPath(outerA, outerB)}
}

// asleep waits until all workers have nothing to do.
func (r *rxOrderRig) asleep(t *testing.T) {
	eventually(t, "all workers sleep", func() bool {
		return !slices.ContainsFunc(r.workers, func(w *worker) bool { return !w.idle.Load() })
	})
}

// delivered takes n packets off the busy worker's queue and returns their numbers. Nothing may have
// come to another.
func (r *rxOrderRig) delivered(t *testing.T, n int) (numbers []uint32) {
	t.Helper()
	for range n {
		pkt := r.queues[busy].want(t)
		numbers = append(numbers, binary.BigEndian.Uint32(pkt[len(pkt)-4:]))
	}
	for _, q := range r.queues {
		q.wantIdle(t)
	}
	return numbers
}

// untilStolen sends waves of traffic until somebody has helped: how soon that is, the machine says.
func (r *rxOrderRig) untilStolen(wave func()) {
	wave()
	for deadline := time.Now().Add(patience); r.Counters()["batches_stolen"] == 0 && time.Now().Before(deadline); {
		wave()
	}
}

// flood sends the same again and again until the test ends or it is stopped.
func (r *rxOrderRig) flood(t *testing.T, load netio.Received) (stop func()) {
	var ending atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !ending.Load() {
			if r.ports[busy].in.len() < 1000 {
				r.ports[busy].in.put(nil, slices.Repeat([]netio.Received{load}, 500)...)
			}
			runtime.Gosched()
		}
	})
	stop = func() {
		ending.Store(true)
		wg.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// TestOrderAcrossSAs: a flow that moves on to other SAs of its lane stays in order, while the
// kernel joins datagrams of several SAs of one sender and chooses a port by the SPI of the first,
// and while any port has a backlog. Where flows are spread over the queues, each stays at one.
func TestOrderAcrossSAs(t *testing.T) {
	for seed := range uint64(4) {
		orderAcrossSAs(t, seed, false)
		orderAcrossSAs(t, seed, true)
	}
}

func orderAcrossSAs(t *testing.T, seed uint64, spread bool) {
	const workers, sas, packets, joined = 3, 8, 1500, 5
	r := rand.New(rand.NewPCG(seed, 1))
	g := newGateway(t, workers, nil)
	var peers []*peer
	for id := range ipsec.ChildID(sas) {
		sa := childSA(t, g, g, id+1)
		spi, err := g.AllocSPI(uint32(seed))
		if err != nil {
			t.Fatal(err)
		}
		sa.SPIIn, sa.PerResource = spi, spread
		if err := g.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		peers = append(peers, newPeer(t, sa))
	}
	var burst [][]byte
	for n := range packets { // of as many flows as SAs, each for a while on each
		sa := (n + n/300) % sas
		src := netip.AddrPortFrom(src4.Addr(), uint16(n%sas))
		pkt := udpPacket(dst4, src, true, binary.BigEndian.AppendUint32(make([]byte, 60), uint32(n)))
		if burst = append(burst, peers[sa].seal(esp.NextIPv4, pkt)); len(burst) == joined {
			g.ports[netio.WorkerOf(binary.BigEndian.Uint32(burst[0]), workers)].in.put(nil, run(burst))
			burst = nil
		}
	}
	var last, at [sas]uint32
	queues := map[int]bool{}
	for n := 0; n < packets; {
		w := g.workers[r.IntN(workers)]
		if _, err := w.rx.carry(w.rx.order); err != nil {
			continue
		}
		for range joined {
			queue, pkt := g.wantAnywhere(t)
			number := binary.BigEndian.Uint32(pkt[len(pkt)-4:])
			was, flow := last[number%sas], number%sas
			if number < was || was > 0 && at[flow] != uint32(queue) {
				t.Fatalf("seed %d: packet %d of flow %d came to queue %d, and %d before it to queue %d", seed, number, flow, queue, was, at[flow])
			}
			last[flow], at[flow], queues[queue] = number, uint32(queue), true
			n++
		}
	}
	if want := map[bool]int{false: 1, true: workers}[spread]; len(queues) != want {
		t.Errorf("seed %d: packets came to %d queues, want %d", seed, len(queues), want)
	}
}

// TestBatchesInTurn lets three workers receive a batch each and open them in all orders. With the
// smallest window, of which each batch is twice the size, nothing is lost and all comes out as it
// came in.
func TestBatchesInTurn(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		r := newRxOrderRig(t, esp.MinWindow, nil)
		l := r.workers[busy].rx.order
		for range 3 {
			r.ports[busy].in.put(nil, run(r.packets(2*esp.MinWindow)))
		}
		for i, w := range r.workers {
			if !w.rx.batch.enter(l) {
				t.Fatal("the receive order is taken")
			}
			if other := r.workers[(i+1)%3]; other.rx.batch.enter(l) {
				t.Fatal("two workers receive at once")
			}
			octets, n, err := w.rx.receive()
			if octets == 0 || err != nil {
				t.Fatalf("received %d octets, %v", octets, err)
			}
			w.rx.batch.leave()
			w.rx.receivedAll(n)
		}
		done := make(chan struct{}, 3)
		for _, i := range order {
			go func() {
				x := &r.workers[i].rx
				for x.openBatch(true); !x.proceed(); {
					runtime.Gosched()
				}
				done <- struct{}{}
			}()
			for range 100 { // it gets as far as it can, mostly: what must hold does so anyway
				runtime.Gosched()
			}
		}
		for range 3 {
			<-done
		}
		if got := r.delivered(t, len(r.sent)); !slices.Equal(got, r.sent) {
			t.Errorf("opened in the order %v: delivered %v", order, got)
		}
		for name, n := range r.Counters() {
			if n != 0 {
				t.Errorf("opened in the order %v: counter %s = %d", order, name, n)
			}
		}
	}
}

// TestOneSAInInOrder: what comes by one SA faster than a worker can open it is opened by several,
// each held up here and there. It is delivered in its order, all of it, once, though it is
// overtaken, repeated and forged on its way, and though the window is the smallest there may be.
func TestOneSAInInOrder(t *testing.T) {
	for seed := range uint64(2) {
		for _, window := range []int{esp.MinWindow, 4096} {
			t.Run(fmt.Sprintf("seed=%d,window=%d", seed, window), func(t *testing.T) { oneSAIn(t, seed, window) })
		}
	}
}

func oneSAIn(t *testing.T, seed uint64, window int) {
	var ike atomic.Int64
	r := newRxOrderRig(t, window, func(c *Config) { c.OnIKE = func(*netio.Received) { ike.Add(1) } })
	j := newJitter(seed)
	for i := range r.queues {
		r.queues[i].onWrite, r.ports[i].onRecv = j.rarely(40), j.delay
	}
	r.start(t)
	r.asleep(t)
	c := r.Counters
	refused, messages := uint64(0), int64(0)
	r.untilStolen(func() {
		first := len(r.sent)
		traffic, bad, ikes := r.mixture(j, 250)
		refused, messages = refused+bad, messages+ikes
		r.ports[busy].in.put(nil, traffic...)
		if got := r.delivered(t, len(r.sent)-first); !slices.Equal(got, r.sent[first:]) {
			t.Error("delivered in another order")
		}
		eventually(t, "what must not be delivered is counted", func() bool { return c()["esp_replay"]+c()["esp_icv"] >= refused && ike.Load() >= messages })
	})
	if got := c()["esp_replay"] + c()["esp_icv"]; got != refused || ike.Load() != messages {
		t.Errorf("%d packets refused and %d IKE messages, want %d and %d", got, ike.Load(), refused, messages)
	}
	if c()["batches_stolen"] == 0 {
		t.Error("nobody helped")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// mixture returns the packets of n receives: refused counts those not to be delivered, messages
// those of IKE.
func (r *rxOrderRig) mixture(j *jitter, n int) (traffic []netio.Received, refused uint64, messages int64) {
	for range n {
		sealed := r.packets(1 + j.intN(40))
		switch j.intN(6) {
		case 0: // once more, all of it, to be opened at the same time by another
			traffic = append(traffic, run(sealed))
			refused += uint64(len(sealed))
		case 1: // one that is not the peer's
			forged := slices.Clone(sealed[0])
			forged[len(forged)-1] ^= 1
			traffic = append(traffic, run([][]byte{forged}))
			refused++
		case 2: // a burst, with something else in it
			for _, s := range sealed {
				one := run([][]byte{s})
				one.More = true
				traffic = append(traffic, one)
			}
			traffic = append(traffic, netio.Received{Kind: netio.IKE, Data: make([]byte, 30), Path: ipsec.NATPath(outerA, outerB)})
			messages++
			continue
		case 3: // overtaken: within the window, whichever batches it comes in
			if n := len(sealed); n > 8 {
				last := len(r.sent) - 1
				sealed[n-1], sealed[n-8] = sealed[n-8], sealed[n-1]
				r.sent[last], r.sent[last-7] = r.sent[last-7], r.sent[last]
			}
		}
		traffic = append(traffic, run(sealed))
	}
	return traffic, refused, messages
}

// TestAlone: a batch is opened in one go if those before it are accepted, and nobody steals.
func TestAlone(t *testing.T) {
	for _, c := range []struct {
		name                   string
		shared, behind, before bool
		want                   bool
	}{
		{"not shared", false, false, false, true},
		{"shared", true, false, false, true},
		{"others may steal", true, true, false, false},
		{"one before it", true, false, true, false},
	} {
		o := &rxOrder{shared: c.shared}
		o.behind.Store(c.behind)
		if c.before {
			o.tickets = 1
		}
		var p rxPlace
		p.enter(o)
		p.number()
		if got := p.alone(); got != c.want || (p.accept == ours) != (c.want && c.shared) {
			t.Errorf("%s: %v, %d", c.name, got, p.accept)
		}
	}
}

// TestSortedBesideOthers: others may receive while a worker looks at what it has received.
func TestSortedBesideOthers(t *testing.T) {
	var g *gateway
	var taken []bool
	g = newGateway(t, 2, func(c *Config) {
		c.OnIKE = func(*netio.Received) { taken = append(taken, g.workers[0].rx.order.taken.Load()) }
	})
	g.ports[0].in.put(nil, netio.Received{Kind: netio.IKE, Data: []byte{1}})
	if _, err := g.workers[1].rx.carry(g.workers[0].rx.order); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(taken, []bool{false}) {
		t.Errorf("received by one worker alone: %v, want once, and no longer", taken)
	}
}
