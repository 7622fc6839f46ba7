package dataplane

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

// other is a policy beside lan with an SA of its own: its traffic has nothing to do with that of
// lan.
var (
	other  = ipsec.PolicyID(2)
	dstOwn = netip.MustParseAddrPort("198.51.100.1:53")
)

// twoSAs is two running gateways with SA 1 for lan and SA 2 for other.
func twoSAs(t *testing.T, workers int) (a, b *gateway) {
	t.Helper()
	a, b = twoGateways(t, workers, nil)
	far := nets("198.51.100.0/24")
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}, {ID: other, Local: lanA(), Remote: far}}); err != nil {
		t.Fatal(err)
	}
	if err := b.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanB(), Remote: lanA()}, {ID: other, Local: far, Remote: lanA()}}); err != nil {
		t.Fatal(err)
	}
	install(t, a, b, childSA(t, a, b, 1))
	two := childSA(t, a, b, 2)
	two.Policy, two.RemoteTS = other, far
	install(t, a, b, two)
	return a, b
}

// holdSend holds a worker of g in the middle of the send of a packet, until release is called.
func holdSend(t *testing.T, g *gateway, worker int, pkt gso.Packet) (release func()) {
	t.Helper()
	gate, inside := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.ports[worker].sending(func(*netio.Outgoing) error {
		once.Do(func() {
			close(inside)
			<-gate
		})
		return nil
	})
	g.queues[worker].in.put(nil, pkt)
	select {
	case <-inside:
	case <-time.After(patience):
		t.Fatalf("worker %d sends nothing", worker)
	}
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return release
}

// toOther is n packets for SA 2.
func toOther(n int) []gso.Packet {
	return repeated(n, gso.Packet{Data: udpPacket(src4, dstOwn, true, make([]byte, 36))})
}

// TestHeldSendHoldsNobodyElse: while a worker is held in its send on one SA, another one with
// packets for that SA sends those for others, sleeps when there are none, and sends what it owes
// when it may, in order.
func TestHeldSendHoldsNobodyElse(t *testing.T) {
	a, b := twoSAs(t, 2)
	release := holdSend(t, a, 0, numbered(0, 1)[0])
	var mu sync.Mutex
	var left []uint32
	a.ports[1].wiretap(func(o *netio.Outgoing) {
		mu.Lock()
		defer mu.Unlock()
		if spi, _ := esp.SPI(o.Data); spi == a.pairByID(1).out.SPI() {
			left = append(left, uint32(o.Data[7])|uint32(o.Data[6])<<8)
		}
	})
	const mine, more = 6, 5
	a.queues[1].in.put(nil, slices.Concat(numbered(1, mine), toOther(more), numbered(1+mine, 1),
		[]gso.Packet{superPacket(src4, dst4, 1, make([]byte, 3000), 1388)}, toOther(more))...)
	for range 2 * more {
		if hdr := parse(t, b.queues[1].want(t)); hdr.Dst != dstOwn.Addr() {
			t.Errorf("a packet for %v overtook", hdr.Dst)
		}
	}
	eventually(t, "the worker sleeps", a.workers[1].idle.Load)
	mu.Lock()
	if len(left) != 0 {
		t.Errorf("numbers %v of SA 1 were sent out of their turn", left)
	}
	mu.Unlock()
	a.queues[1].in.put(nil, numbered(2+mine, 1)...)
	eventually(t, "more of SA 1 is kept", func() bool { return a.pairByID(1).out.Used().Packets == 1+mine+1+3+1 })
	eventually(t, "the worker sleeps again", a.workers[1].idle.Load)
	release()
	var got []int
	for range mine + 1 + 3 + 1 {
		got = append(got, kind(b.queues[1].want(t)))
	}
	if want := slices.Concat(upTo(1, 2+mine), []int{-6, -6, -6}, []int{2 + mine}); !slices.Equal(got, want) {
		t.Errorf("came %v, want %v", got, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []uint32{2, 3, 4, 5, 6, 7, 8, 9, 12}; !slices.Equal(left, want) { // the super-packet is one send
		t.Errorf("left with the numbers %v, want %v", left, want)
	}
	a.wantCounter(t, "out_send_errors", 0)
}

// TestNextSAWaitsForWhatIsOwed: a flow that goes on to another SA does not overtake what its worker
// still owes on the one before. Other policies' flows pass, and the worker sleeps meanwhile.
func TestNextSAWaitsForWhatIsOwed(t *testing.T) {
	a, b := twoSAs(t, 2)
	release := holdSend(t, a, 0, numbered(0, 1)[0])
	more := func(from, n int) {
		t.Helper()
		a.queues[1].in.put(nil, append(numbered(from, n), toOther(1)...)...)
		if hdr := parse(t, b.queues[1].want(t)); hdr.Dst != dstOwn.Addr() {
			t.Errorf("a packet for %v overtook", hdr.Dst)
		}
	}
	more(1, 3)
	install(t, a, b, childSA(t, a, b, 3))
	more(4, 3)
	more(7, 1)
	eventually(t, "the worker sleeps", a.workers[1].idle.Load)
	if n := a.pairByID(3).out.Used().Packets; n != 4 {
		t.Errorf("%d packets are sealed on the next SA, want 4", n)
	}
	release()
	var got []int
	for range 7 {
		got = append(got, kind(b.queues[1].want(t)))
	}
	if want := upTo(1, 8); !slices.Equal(got, want) {
		t.Errorf("came %v, want %v", got, want)
	}
	a.wantCounter(t, "out_send_errors", 0)
}

// TestHeldSendIsBounded: what is kept for an SA whose turn does not come has a bound, above which
// its packets are dropped and counted; its numbers are passed on, and other SAs are not held up.
func TestHeldSendIsBounded(t *testing.T) {
	a, b := twoSAs(t, 2)
	release := holdSend(t, a, 0, numbered(0, 1)[0])
	super := superPacket(src4, dst4, 1, make([]byte, 30*1388), 1388)
	const supers = 40 // 1.7 MB
	a.queues[1].in.put(nil, append(repeated(supers, super), toOther(1)...)...)
	b.queues[1].want(t)
	eventually(t, "the worker sleeps", a.workers[1].idle.Load)
	kept := 0
	for _, o := range a.workers[1].tx.out.order.late.outs {
		kept += len(o.Data)
	}
	lost := a.Counters()["out_send_errors"]
	if kept > lateBytes || lost == 0 || lost%30 != 0 || lost >= 30*supers {
		t.Errorf("%d octets are kept and %d packets dropped", kept, lost)
	}
	release()
	for range 30*supers - int(lost) {
		b.queues[1].want(t)
	}
	a.queues[0].in.put(nil, numbered(0, 1)...) // behind them all
	if got := kind(b.queues[0].want(t)); got != 0 {
		t.Error(got)
	}
	if got := kind(b.queues[0].want(t)); got != 0 {
		t.Error(got)
	}
	a.wantCounter(t, "out_send_errors", lost)
	if st, _ := a.ChildStats(1); st.Drops["send_errors"] != lost {
		t.Errorf("SA 1 counts %d, the plane %d", st.Drops["send_errors"], lost)
	}
}

// TestTwoWorkersOweEachOther: each of two workers keeps what the other must let through first, and
// all comes.
func TestTwoWorkersOweEachOther(t *testing.T) {
	a, b := twoSAs(t, 2)
	release := holdSend(t, a, 0, numbered(0, 1)[0])
	a.queues[1].in.put(nil, append(numbered(1, 1), toOther(1)...)...)
	b.queues[1].want(t)
	a.queues[0].in.put(nil, append(numbered(2, 1), toOther(1)...)...)
	release()
	var got []int
	for range 3 {
		got = append(got, kind(b.queues[0].want(t)))
	}
	got = append(got, kind(b.queues[1].want(t)))
	slices.Sort(got)
	if want := []int{-17, 0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("came %v, want %v", got, want)
	}
}

// TestPanicInALateSend: what was kept is lost with a panic over it, and its turn is passed on.
func TestPanicInALateSend(t *testing.T) {
	a, b := twoSAs(t, 2)
	release := holdSend(t, a, 0, numbered(0, 1)[0])
	a.queues[1].in.put(nil, append(numbered(1, 3), toOther(1)...)...)
	b.queues[1].want(t)
	var once sync.Once
	a.ports[1].sending(func(*netio.Outgoing) error {
		once.Do(func() { panic("sending late") })
		return nil
	})
	release()
	b.queues[0].want(t)
	a.wantCounter(t, "panics", 1)
	a.queues[0].in.put(nil, numbered(4, 1)...)
	if got := kind(b.queues[0].want(t)); got != 4 {
		t.Errorf("came %d, want 4", got)
	}
	b.queues[1].wantIdle(t)
}

// TestLateTicketsOfTwoSAs: of two SAs whose turn is awaited, one goes before the other, and what
// came later takes its place in the memory.
func TestLateTicketsOfTwoSAs(t *testing.T) {
	a, b := twoSAs(t, 3)
	release1 := holdSend(t, a, 0, numbered(0, 1)[0])
	release2 := holdSend(t, a, 1, toOther(1)[0])
	own := func(n byte) gso.Packet {
		return gso.Packet{Data: udpPacket(src4, dstOwn, true, bytes.Repeat([]byte{n}, 100))}
	}
	kept := func(octets int) {
		t.Helper()
		eventually(t, "the worker keeps what it was given", func() bool {
			return a.pairByID(1).out.Used().Octets+a.pairByID(2).out.Used().Octets >= uint64(octets) && a.workers[2].idle.Load()
		})
	}
	want := func(pkt []byte) {
		t.Helper()
		if got := b.queues[2].want(t); !bytes.Equal(got, pkt) {
			t.Errorf("came %x\nwant %x", got, pkt)
		}
	}
	first, second := numbered(1, 1)[0], numbered(2, 1)[0]
	held := len(first.Data) + len(toOther(1)[0].Data)
	a.queues[2].in.put(nil, first, own(1), second)
	kept(held + 2*len(first.Data) + 128)
	release1()
	want(first.Data)
	want(second.Data)
	a.queues[2].in.put(nil, own(2), own(3))
	kept(held + 2*len(first.Data) + 3*128)
	release2()
	for n := range byte(3) {
		want(own(n + 1).Data)
	}
}

// TestLateMemory: what is kept stays as it was put, whatever goes before it and in which order, and
// the memory is used again and again.
func TestLateMemory(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		var q lateQueue
		first, total := uint64(0), 0
		for range 3000 {
			if n := len(q.tickets); n > 0 && (r.IntN(3) == 0 || q.full()) {
				i, at := r.IntN(min(n, 3)), 0
				for _, l := range q.tickets[:i] {
					at += l.outs
				}
				q.remove(i, at, q.tickets[i].outs)
				continue
			}
			c := &pair{}
			q.put(c, first, first+1)
			for range r.IntN(4) {
				data := bytes.Repeat([]byte{byte(first)}, 1+r.IntN(runSpace/2))
				if q.add(netio.Outgoing{Data: data, TOS: byte(first)}) {
					total += len(data)
				}
			}
			first++
			if len(q.from) != len(q.outs) {
				t.Fatalf("seed %d: %d places of %d sends", seed, len(q.from), len(q.outs))
			}
			for i, o := range q.outs {
				if bytes.Count(o.Data, []byte{o.TOS}) != len(o.Data) {
					t.Fatalf("seed %d: %d of %d was written over", seed, i, len(q.outs))
				}
			}
		}
		if total < 20*lateBytes {
			t.Errorf("seed %d: %d octets: the test tests little", seed, total)
		}
	}
}

// TestPatience: without room a worker waits for a time and a number of yields, from when a ticket
// has gone.
func TestPatience(t *testing.T) {
	long := time.Now().Add(-2 * lateGrace)
	for _, c := range []struct {
		moved  time.Time
		yields int
		want   bool
	}{{long, lateYields - 1, true}, {long, lateYields, false}, {time.Now().Add(time.Hour), lateYields, true}} {
		if q := (lateQueue{moved: c.moved, yields: c.yields}); q.patient() != c.want {
			t.Errorf("%v, %d yields: want %v", c.moved, c.yields, c.want)
		}
	}
	q := lateQueue{yields: 1}
	if q.put(&pair{}, 1, 2); q.yields != 0 {
		t.Error("the first ticket does not begin the wait")
	}
	q.yields = 1
	if q.remove(0, 0, 0); q.yields != 0 {
		t.Error("a ticket that goes does not begin the wait")
	}
}
