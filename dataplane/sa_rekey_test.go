package dataplane

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
)

// sentBy is the SPI that the first worker sends its next packet on.
func sentBy(t *testing.T, a *gateway) uint32 {
	t.Helper()
	return sentByWorker(t, a, 0)
}

func TestWhichSAIsSentOn(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	sas := make(map[ipsec.ChildID]ipsec.ChildSA)
	for id := ipsec.ChildID(1); id <= 3; id++ {
		sas[id] = childSA(t, a, b, id)
		if err := a.InstallInbound(sas[id]); err != nil {
			t.Fatal(err)
		}
	}
	want := func(id ipsec.ChildID, when string) {
		t.Helper()
		if got := sentBy(t, a); got != sas[id].SPIOut {
			t.Errorf("%s: sent on SPI %#x, want that of SA %d", when, got, id)
		}
	}
	a.ActivateOutbound(1)
	want(1, "first")
	a.ActivateOutbound(3)
	want(3, "rekeyed")
	a.ActivateOutbound(2)
	want(3, "after the late activation of a lost collision")
	a.ActivateOutbound(3)
	want(3, "activated twice")
	a.ActivateOutbound(77)
	a.RemoveSA(77)
	a.RemoveSA(1)
	want(3, "after the old one is gone")
	a.RemoveSA(3)
	want(2, "after the newer one was deleted")
	a.RemoveSA(2)
	a.RemoveSA(2)
	a.ActivateOutbound(2)
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	a.wantEvent(t, ipsec.EventAcquire)
	for _, sa := range sas {
		if a.sad.find(sa.SPIIn) != nil {
			t.Errorf("SPI %#x is still known", sa.SPIIn)
		}
	}
}

// TestRekeyStorm sends numbered packets both ways while SA pairs are made, used and removed: none
// is lost, none comes twice.
func TestRekeyStorm(t *testing.T) {
	// A worker may have looked up an SA and not used it yet, and not run for some rekeyings since.
	const workers, packets, rekeys, kept = 2, 3000, 60, 16
	a, b := twoGateways(t, workers, nil)
	sa := childSA(t, a, b, 1)
	install(t, a, b, sa)
	var wg sync.WaitGroup
	var sent atomic.Int64
	for w := range workers {
		wg.Go(func() {
			for i := range packets {
				for !keptUp(a, b) {
					runtime.Gosched()
				}
				n := binary.BigEndian.AppendUint32(nil, uint32(i))
				a.queues[w].inject(udpPacket(src4, dst4, true, n))
				b.queues[w].inject(udpPacket(dst6, src6, true, n))
				sent.Add(1)
			}
		})
	}
	for id := ipsec.ChildID(2); id < 2+rekeys; id++ {
		for goal := int64(id) * packets * workers / (rekeys + 3); sent.Load() < goal; {
			runtime.Gosched()
		}
		next := childSA(t, a, b, id)
		// The order of RFC 7296, Section 2.8: both can receive before either sends, and nothing is
		// removed that the other may still send on.
		if err := b.InstallInbound(mirror(next)); err != nil {
			t.Fatal(err)
		}
		if err := a.InstallInbound(next); err != nil {
			t.Fatal(err)
		}
		a.ActivateOutbound(id)
		b.ActivateOutbound(id)
		if id > kept {
			quiesce(t, a, b, id-kept)
			a.RemoveSA(id - kept)
			b.RemoveSA(id - kept)
		}
	}
	wg.Wait()
	for _, g := range []*gateway{a, b} {
		eventually(t, "every packet comes through", func() bool { return len(g.queues[0].out)+len(g.queues[1].out) == workers*packets })
		for _, q := range g.queues {
			seen := make(map[uint32]bool)
			for len(q.out) > 0 {
				pkt := <-q.out
				seen[binary.BigEndian.Uint32(pkt[len(pkt)-4:])] = true
			}
			if len(seen) != packets {
				t.Errorf("%d different packets of %d came through a queue", len(seen), packets)
			}
		}
		for name, n := range g.Counters() {
			if n != 0 && name != "batches_stolen" && name != "batches_put_off" {
				t.Errorf("counter %s = %d", name, n)
			}
		}
		if st, ok := g.PolicyStats(childSA(t, a, b, 1).Policy); !ok || st.PacketsIn != workers*packets || st.PacketsOut != workers*packets || st.LastIn.IsZero() || st.MTU == 0 {
			t.Errorf("over all SAs: got %+v, want %d packets each way", st, workers*packets)
		}
	}
}

// TestAFailedSendIsATry: a path that takes no packets makes the control plane ask whether the peer
// lives, as one on which they vanish does.
func TestAFailedSendIsATry(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	install(t, a, b, childSA(t, a, b, 1))
	a.ports[0].sending(func(*netio.Outgoing) error { return errors.New("cannot assign requested address") })
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	eventually(t, "the try is noted", func() bool { last, _ := a.LastTraffic(1); return !last.Out.IsZero() })
	a.wantCounter(t, "out_send_errors", 1)
}

// keptUp reports whether no worker is so far behind the others that its packets would be left of
// the replay window.
func keptUp(gs ...*gateway) bool {
	for _, g := range gs {
		for i := range g.queues {
			if g.queues[i].in.len() > 200 || g.ports[i].in.len() > 200 {
				return false
			}
		}
	}
	return true
}

// quiesce waits until all that was sent on a pair has come.
func quiesce(t *testing.T, a, b *gateway, id ipsec.ChildID) {
	var x, y ChildStats
	defer func() {
		if t.Failed() {
			t.Logf("SA %d: %+v at one end, %+v at the other", id, x, y)
		}
	}()
	eventually(t, "the old pair is drained", func() bool {
		x, _ = a.ChildStats(id)
		y, _ = b.ChildStats(id)
		return x.PacketsOut == y.PacketsIn && y.PacketsOut == x.PacketsIn
	})
}

// TestOrderOnTheWire lets two workers send on one SA: the sequence numbers leave in order.
func TestOrderOnTheWire(t *testing.T) {
	const workers, packets = 2, 4000
	a, b := twoGateways(t, workers, nil)
	var mu sync.Mutex
	var seqs []uint32
	for _, p := range a.ports {
		p.wiretap(func(o *netio.Outgoing) {
			mu.Lock()
			defer mu.Unlock()
			for at := 0; at < len(o.Data); at += max(o.SegSize, 1) {
				seqs = append(seqs, binary.BigEndian.Uint32(o.Data[at+4:]))
				if o.SegSize == 0 {
					break
				}
			}
		})
	}
	other := childSA(t, a, b, 2)
	other.RemoteTS = nets("2001:db8:2::/48")
	install(t, a, b, childSA(t, a, b, 1))
	want := 0
	for i := range packets {
		a.queues[i%workers].inject(udpPacket(src4, dst4, true, nil))
		want++
		for !keptUp(a, b) {
			runtime.Gosched()
		}
		if i%50 == 0 {
			a.queues[i/50%workers].in.put(nil, superPacket(src4, dst4, 1, make([]byte, 13000), 1300))
			want += 10
		}
	}
	eventually(t, "all is sent", func() bool { mu.Lock(); defer mu.Unlock(); return len(seqs) == want })
	for i, seq := range seqs {
		if seq != uint32(i+1) {
			t.Fatalf("datagram %d has sequence number %d", i+1, seq)
		}
	}
}
