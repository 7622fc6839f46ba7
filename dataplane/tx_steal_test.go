package dataplane

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun"
	"culvert/tun/gso"
)

// stealRig is a gateway of three workers, to whose first queue everything comes, and a peer with
// the smallest replay window there may be.
type stealRig struct {
	*gateway
	sas     map[uint32]*esp.Inbound // of the peer, by SPI
	scratch esp.Scratch
	came    []int // the numbers of the packets, as they left
}

const sender = 0 // the worker

func newStealRig(t *testing.T) *stealRig {
	const workers = 3
	enoughProcs(t, workers)
	r := &stealRig{gateway: newGateway(t, workers, nil), sas: make(map[uint32]*esp.Inbound)}
	if err := r.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	r.add(t, childSA(t, r.gateway, r.gateway, 1))
	for i, p := range r.ports {
		p.wiretap(func(o *netio.Outgoing) {
			if i != sender {
				t.Errorf("worker %d sent what came to worker %d", i, sender)
			}
			r.arrive(t, o)
		})
	}
	return r
}

// add makes an SA and sends on it from then on.
func (r *stealRig) add(t *testing.T, sa ipsec.ChildSA) {
	peer := mirror(sa)
	peer.ReplayWindow = esp.MinWindow
	in, err := esp.NewInbound(peer.Inbound())
	if err != nil {
		t.Fatal(err)
	}
	r.ports[sender].mu.Lock()
	r.sas[sa.SPIOut] = in
	r.ports[sender].mu.Unlock()
	if err := r.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	r.ActivateOutbound(sa.ID)
}

// arrive opens what left.
func (r *stealRig) arrive(t *testing.T, o *netio.Outgoing) {
	for data := o.Data; len(data) > 0; {
		n := len(data)
		if o.SegSize > 0 {
			n = min(n, o.SegSize)
		}
		spi, _ := esp.SPI(data)
		run := []esp.Packet{{Data: data[:n]}}
		if r.sas[spi].Open(&r.scratch, run); run[0].Err != nil {
			t.Errorf("SPI %#x: %v", spi, run[0].Err)
		}
		r.came = append(r.came, numberOf(run[0].Data))
		data = data[n:]
	}
}

// numberOf is the number of a packet of flow.
func numberOf(pkt []byte) int {
	if pkt[9] == 6 {
		return int(binary.BigEndian.Uint32(pkt[24:]))
	}
	return int(binary.BigEndian.Uint32(pkt[28:]))
}

const segmentsOf = 12 // a super-packet of flow

// flow is n reads of packets with the numbers from first on, every third a super-packet. It returns
// the number after them.
func flow(first, n int) (list []gso.Packet, next int) {
	for i := range n {
		if i%3 != 2 {
			list = append(list, numbered(first, 1)...)
			first++
			continue
		}
		super := superPacket(src4, dst4, uint32(first), make([]byte, segmentsOf), 1) // TCP counts its octets
		list = append(list, super)
		first += segmentsOf
	}
	return list, first
}

// wantUpTo checks that all numbers below n have left, in their order.
func (r *stealRig) wantUpTo(t *testing.T, n int) {
	t.Helper()
	if !slices.Equal(r.came, upTo(0, n)) {
		t.Errorf("%d packets left, in order: %v; want %d", len(r.came), slices.IsSorted(r.came), n)
	}
	if n := r.Counters()["out_send_errors"]; n != 0 {
		t.Errorf("%d packets were lost", n)
	}
}

// asleep waits until all workers have nothing to do.
func (r *stealRig) asleep(t *testing.T) {
	eventually(t, "all workers sleep", func() bool {
		return !slices.ContainsFunc(r.workers, func(w *worker) bool { return !w.idle.Load() })
	})
}

// TestOneFlowOutInOrder: what comes to one queue faster than a worker can seal it is sealed by
// several, each held up here and there. It leaves by the owner's port in its order, while SAs come
// and go, and the path changes.
func TestOneFlowOutInOrder(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r, j := newStealRig(t), newJitter(seed)
			r.queues[sender].onRead = j.rarely(10)
			delay := j.rarely(10)
			r.ports[sender].sending(func(*netio.Outgoing) error { delay(); return nil })
			r.start(t)
			r.asleep(t)
			next, id := 0, ipsec.ChildID(1)
			for deadline := time.Now().Add(patience); ; {
				var list []gso.Packet
				list, next = flow(next, 400)
				r.queues[sender].in.put(nil, list...)
				id++
				sa := childSA(t, r.gateway, r.gateway, id)
				r.add(t, sa)
				r.SetPath(id, ipsec.NATPath(outerA, dst4))
				r.asleep(t)
				r.RemoveSA(id - 1)
				if stolen := r.Counters()["batches_stolen"]; stolen > 20 || time.Now().After(deadline) {
					break
				}
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			r.wantUpTo(t, next)
			if r.Counters()["batches_stolen"] == 0 {
				t.Error("nobody helped")
			}
		})
	}
}

// drains runs one cycle of a worker without a thread.
func (r *stealRig) drains(t *testing.T, worker int) {
	t.Helper()
	w := r.workers[worker]
	w.tx.ready = worker == sender
	if _, err := w.cycle(); err != nil {
		t.Fatal(err)
	}
}

// begins has a worker read a batch and reserve its numbers. end leaves it to the owner.
func (r *stealRig) begins(t *testing.T, worker int) (end func()) {
	t.Helper()
	x, o := &r.workers[worker].tx, r.workers[sender].tx.reads
	if !x.enter(o) {
		t.Fatalf("worker %d may not read", worker)
	}
	if err := x.queue.(tun.Helper).ReadFor(o.owner.queue, x.readSpace(), tunHeadroom, &x.read); err != nil {
		t.Fatal(err)
	}
	x.outbound(&x.read, x.now)
	x.sealLast()
	return func() { x.leave(true) }
}

// TestOwnerGoesOn: while a thief holds a batch that it has not sealed yet, the owner reads and
// seals what follows, and sends it when the thief's has gone, in order. It waits nowhere.
func TestOwnerGoesOn(t *testing.T) {
	r := newStealRig(t)
	r.queues[sender].in.put(nil, numbered(0, 1)...)
	first := r.begins(t, 1)
	r.queues[sender].in.put(nil, numbered(1, 1)...)
	second := r.begins(t, 2)
	r.queues[sender].in.put(nil, numbered(2, 5)...)
	r.drains(t, sender)
	second()
	r.drains(t, sender)
	if len(r.came) != 0 {
		t.Fatalf("the packets %v overtook", r.came)
	}
	first()
	r.drains(t, sender)
	r.wantUpTo(t, 7)
	if !r.workers[sender].tx.reads.idle() {
		t.Error("slots are left")
	}
}

// TestReaderKeepsOthersOut: while a worker reads, nobody else does, and the owner's other direction
// goes on.
func TestReaderKeepsOthersOut(t *testing.T) {
	r := newStealRig(t)
	o := r.workers[sender].tx.reads
	if x := &r.workers[1].tx; !x.enter(o) {
		t.Fatal("the thief may not read")
	} else if r.workers[2].tx.enter(o) {
		t.Fatal("two workers read at once")
	} else {
		r.queues[sender].in.put(nil, numbered(0, 1)...)
		r.drains(t, sender)
		if n := r.queues[sender].reads.Load(); n != 0 {
			t.Errorf("the owner read %d times", n)
		}
		x.leave(false) // it read nothing
	}
	if !o.idle() {
		t.Error("a slot is left of a read that brought nothing")
	}
	r.drains(t, sender)
	r.wantUpTo(t, 1)
}

// TestNoSlotIsLeft: with all slots in use a thief takes no more, and goes to sleep; it is woken
// when half of them are free.
func TestNoSlotIsLeft(t *testing.T) {
	r := newStealRig(t)
	o := r.workers[sender].tx.reads
	list, next := flow(0, 3*len(o.slots))
	r.queues[sender].in.put(nil, list...)
	o.behind.Store(true)
	for range len(o.slots) {
		r.drains(t, 1)
	}
	if n := o.tickets.Load() - o.sent.Load(); n != uint64(len(o.slots)) || !o.hungry.Load() {
		t.Fatalf("%d slots of %d are in use", n, len(o.slots))
	}
	if found := r.workers[1].steal(); found != wasDry {
		t.Errorf("a thief without a slot is kept awake: %d", found)
	}
	woken := r.sleeping(t, 1)
	r.drains(t, sender)
	if !woken() {
		t.Error("the thief was not woken")
	}
	for !o.idle() || r.queues[sender].in.len() > 0 {
		r.drains(t, sender)
	}
	r.wantUpTo(t, next)
}

// sleeping has a worker without a thread look as if it slept. woken reports whether somebody woke
// it since the last call.
func (r *stealRig) sleeping(t *testing.T, worker int) (woken func() bool) {
	w := r.workers[worker]
	if err := w.setUp(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.tearDown)
	w.idle.Store(true)
	return func() bool {
		why, err := w.sleeper.look()
		if err != nil {
			t.Fatal(err)
		}
		return why == called
	}
}

// TestMailComesFirst: packets that waited for their SA leave before what is read after them,
// whoever reads.
func TestMailComesFirst(t *testing.T) {
	r := newStealRig(t)
	r.queues[sender].in.put(nil, numbered(0, 1)...)
	end := r.begins(t, 1)
	w := r.workers[sender]
	w.mail.put(queuedPacket{pkt: numbered(1, 1)[0], thread: &w.thread})
	r.queues[sender].in.put(nil, numbered(2, 2)...)
	if x := &r.workers[2].tx; x.enter(w.tx.reads) {
		t.Fatal("a thief reads before the mail is opened")
	}
	r.drains(t, sender)
	end()
	r.drains(t, sender)
	r.drains(t, sender)
	r.wantUpTo(t, 4)
}

// TestStolenPacketsAreTheOwners: a thief sends on the SA of the worker whose queue it reads (RFC
// 9611), and packets without an SA come back to that worker.
func TestStolenPacketsAreTheOwners(t *testing.T) {
	r := newStealRig(t)
	for resource := range 3 {
		sa := childSA(t, r.gateway, r.gateway, ipsec.ChildID(2+resource))
		sa.PerResource, sa.Resource = true, resource
		r.add(t, sa)
	}
	r.queues[sender].in.put(nil, numbered(0, 1)...)
	r.begins(t, 1)()
	r.drains(t, sender)
	r.wantUpTo(t, 1)
	if st, _ := r.ChildStats(3); st.PacketsOut != 1 {
		t.Errorf("the owner's SA carried %d packets", st.PacketsOut)
	}
	for id := range ipsec.ChildID(5) {
		r.RemoveSA(id)
	}
	r.queues[sender].in.put(nil, numbered(1, 1)...)
	r.begins(t, 1)()
	r.drains(t, sender)
	r.add(t, childSA(t, r.gateway, r.gateway, 6))
	if r.workers[1].mail.full.Load() {
		t.Error("the packet came to the thief")
	}
	r.drains(t, sender)
	r.wantUpTo(t, 2)
}

// TestThiefPanicsOut: a bug over a packet that a thief reads, or that the owner sends for it, loses
// that packet, and its numbers are passed on.
func TestThiefPanicsOut(t *testing.T) {
	r := newStealRig(t)
	r.queues[sender].onRead = func() { panic("reading") }
	o := r.workers[sender].tx.reads
	o.behind.Store(true)
	r.queues[sender].in.put(nil, numbered(99, 1)...)
	r.drains(t, 1)
	r.queues[sender].onRead = nil
	list, _ := flow(0, 3)
	r.queues[sender].in.put(nil, list...)
	r.drains(t, 2)
	sends := 0
	r.ports[sender].sending(func(*netio.Outgoing) error {
		if sends++; sends == 2 {
			panic("sending")
		}
		return nil
	})
	for range 3 {
		r.drains(t, sender)
	}
	if !slices.IsSorted(r.came) || len(r.came) < 1 || !o.idle() {
		t.Errorf("%v left; idle: %v", r.came, o.idle())
	}
	r.came = nil
	r.queues[sender].in.put(nil, numbered(0, 1)...)
	r.drains(t, sender)
	r.wantCounter(t, "panics", 2)
	r.wantUpTo(t, 1)
}

// TestNothingIsStolenUnaskedOut: as long as one worker can send it, it does, and the others sleep.
func TestNothingIsStolenUnaskedOut(t *testing.T) {
	r := newStealRig(t)
	r.start(t)
	const rounds = 3 * cyclePackets
	for i := range rounds {
		r.queues[sender].in.put(nil, numbered(i, 1)...)
		eventually(t, "it is read", r.queues[sender].in.empty)
		r.asleep(t)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r.wantCounter(t, "batches_stolen", 0)
}

// TestStealingAllocatesNothing: once its slots have been used, neither side of a theft allocates.
func TestStealingAllocatesNothing(t *testing.T) {
	e := &memoryEnds{}
	w := loopOf(t, 2, e, e)
	super := superPacket(src6, dst6, 1, make([]byte, 60000), 1300)
	x, o := &w.plane.workers[1].tx, w.tx.reads
	o.shared, x.queue = true, &reader{ends: e}
	steal := func() {
		e.in = &super
		if _, _, err := x.take(o); err != nil {
			t.Fatal(err)
		}
		if n := w.tx.sendSealed(); n != 1 {
			t.Fatalf("%d slots were sent", n)
		}
	}
	for range o.slots {
		steal()
	}
	if n := testing.AllocsPerRun(100, func() { steal() }); n != 1 { // the end clones what it is sent
		t.Errorf("%v allocations", n)
	}
}

// reader reads from other ends.
type reader struct {
	still
	ends *memoryEnds
}

func (q *reader) ReadFor(_ tun.Queue, buf []byte, headroom int, p *gso.Packet) error {
	return q.ends.Read(buf, headroom, p)
}

// TestLateOwnerWakes: a worker that sleeps while a thief seals the last batch is woken to send it,
// and one that is about to sleep does not.
func TestLateOwnerWakes(t *testing.T) {
	r := newStealRig(t)
	w, done := r.workers[sender], make(chan error)
	if err := w.setUp(); err != nil {
		t.Fatal(err)
	}
	defer w.tearDown()
	r.queues[sender].in.put(nil, numbered(0, 1)...)
	r.begins(t, 1)()
	go func() {
		_, err := w.sleep()
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Error("the owner sleeps beside a batch to send")
		w.sleeper.wake()
		<-done
	}
	r.drains(t, sender)
	r.queues[sender].in.put(nil, numbered(1, 1)...)
	end := r.begins(t, 1)
	go func() { done <- w.run() }()
	eventually(t, "the owner sleeps", w.idle.Load)
	end()
	eventually(t, "the owner sends", w.tx.reads.idle)
	w.stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.wantUpTo(t, 2)
}

// TestTurnsAreNotWaitedFor: while a worker that does not run holds a number of the SA, another one
// reads and seals what its queue has, in one cycle, and sends it in order when its turn has come.
func TestTurnsAreNotWaitedFor(t *testing.T) {
	r := newStealRig(t)
	c := r.pairByID(1)
	if _, _, err := c.out.Reserve(1, 1); err != nil {
		t.Fatal(err)
	}
	list, next := flow(0, 15)
	r.queues[sender].in.put(nil, list...)
	r.drains(t, sender)
	late := &r.workers[sender].tx.out.order.late
	if left := r.queues[sender].in.len(); left != 0 || len(r.came) != 0 || len(late.outs) == 0 || len(late.tickets) != 1 {
		t.Errorf("%d are not read, %d were sent, %d kept for %d tickets", left, len(r.came), len(late.outs), len(late.tickets))
	}
	if r.Counters()["batches_put_off"] == 0 {
		t.Error("what was put off is not counted")
	}
	c.sendOrder.Pass(2)
	r.drains(t, sender)
	r.wantUpTo(t, next)
}
