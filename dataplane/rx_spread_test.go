package dataplane

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"culvert/internal/ipheader"
	"culvert/internal/ipsec"
)

// pairsOfWorkers are two gateways with a pair for all workers and one for each worker, whose SPIs
// all name one worker of each side. What is sent comes to that one.
func pairsOfWorkers(t *testing.T, workers int, perResource bool) (a, b *gateway) {
	t.Helper()
	a, b = twoGateways(t, workers, nil)
	for i := range workers + 1 {
		sa := childSA(t, a, b, ipsec.ChildID(i+1))
		sa.Resource, sa.PerResource = i, perResource
		for _, g := range []struct {
			*gateway
			spi *uint32
		}{{a, &sa.SPIIn}, {b, &sa.SPIOut}} {
			var err error
			if *g.spi, err = g.AllocSPI(1); err != nil {
				t.Fatal(err)
			}
		}
		install(t, a, b, sa)
	}
	for i := range workers {
		a.ports[i].peer, b.ports[i].peer = b.ports[1], a.ports[1]
	}
	return a, b
}

// wantAnywhere is the next packet that is written, and the queue that it is written to.
func (g *gateway) wantAnywhere(t *testing.T) (queue int, pkt []byte) {
	t.Helper()
	eventually(t, "a packet comes", func() bool {
		for i, q := range g.queues {
			select {
			case pkt = <-q.out:
				queue = i
				return true
			default:
			}
		}
		return false
	})
	return queue, pkt
}

// Eight flows with answers are sent by several workers of both sides: the kernel gives what a flow
// sends to the queue that its answers were written to. Each stays with its worker. Where the peer
// makes no SAs for single workers, one worker of each side sends them all.
func TestFlowsWithAnswersUseSeveralWorkers(t *testing.T) {
	const workers, flows = 4, 8
	for _, spread := range []bool{true, false} {
		a, b := pairsOfWorkers(t, workers, spread)
		var atA, atB [flows]int // the queues
		for f := range flows {
			atA[f] = f % workers // as the kernel spreads new flows
		}
		for round := range 4 {
			for f := range flows {
				src, dst := netip.AddrPortFrom(src4.Addr(), uint16(40000+f)), netip.AddrPortFrom(dst4.Addr(), 5201)
				a.queues[atA[f]].inject(tcpPacket(src, dst, uint32(round), 0x18, nil, []byte("data")))
				toB, _ := b.wantAnywhere(t)
				b.queues[toB].inject(tcpPacket(dst, src, uint32(round), 0x10, nil, nil))
				toA, _ := a.wantAnywhere(t)
				if round > 0 && (toA != atA[f] || toB != atB[f]) {
					t.Errorf("round %d: flow %d moves from workers %d and %d to %d and %d", round, f, atA[f], atB[f], toA, toB)
				}
				atA[f], atB[f] = toA, toB
			}
		}
		for side, at := range map[string][flows]int{"a": atA, "b": atB} {
			n := map[int]int{}
			for _, worker := range at {
				n[worker]++
			}
			busiest := 0
			for _, of := range n {
				busiest = max(busiest, of)
			}
			t.Logf("spread %t: side %s sends by %d workers: %v", spread, side, len(n), n)
			if spread && (len(n) < workers-1 || busiest > flows/2) || !spread && n[1] != flows {
				t.Errorf("spread %t: side %s sends by the workers %v", spread, side, n)
			}
		}
	}
}

// A flow has one queue, whichever SA its packets come on and whatever is in them, and many flows
// are spread evenly.
func TestFlowHash(t *testing.T) {
	for name, base := range map[string]netip.AddrPort{"IPv4": src4, "IPv6": src6} {
		dst := map[string]netip.AddrPort{"IPv4": dst4, "IPv6": dst6}[name]
		for what, flow := range map[string]func(i int) (src, dst netip.AddrPort){
			"ports": func(i int) (netip.AddrPort, netip.AddrPort) {
				return netip.AddrPortFrom(base.Addr(), uint16(30000+i)), dst
			},
			"servers' ports": func(i int) (netip.AddrPort, netip.AddrPort) {
				return netip.AddrPortFrom(base.Addr(), 443), netip.AddrPortFrom(dst.Addr(), uint16(30000+i))
			},
			"hosts": func(i int) (netip.AddrPort, netip.AddrPort) {
				at := base.Addr().AsSlice()
				at[len(at)-1], at[len(at)-2] = byte(i), byte(i>>8)
				host, _ := netip.AddrFromSlice(at)
				return netip.AddrPortFrom(host, 443), dst
			},
		} {
			const flows = 1 << 10
			var n [4]int
			for i := range flows {
				src, dst := flow(i)
				h := flowHash(tcpPacket(src, dst, 1, 0x10, nil, nil))
				if other := flowHash(tcpPacket(src, dst, rand.Uint32(), 0x18, make([]byte, 4), make([]byte, i))); other != h {
					t.Fatalf("%s, %s: flow %d has %#x and %#x", name, what, i, h, other)
				}
				n[h>>30]++
			}
			for _, n := range n {
				if n < flows/4*3/4 || n > flows/4*5/4 {
					t.Errorf("%s, %s: %d of %d flows in a quarter", name, what, n, flows)
				}
			}
		}
	}
	whole := udpPacket(src4, dst4, false, make([]byte, 3000))
	var hashes []uint32
	cut := ipheader.NewFragmenter(whole, 20, 1400)
	for b := cut.Next(nil); len(b) > 0; b = cut.Next(nil) {
		hashes = append(hashes, flowHash(b))
	}
	if len(hashes) != 3 || hashes[0] != hashes[1] || hashes[1] != hashes[2] {
		t.Errorf("the fragments of a datagram have %#x", hashes)
	}
	for _, pkt := range [][]byte{udpPacket(src4, dst4, true, nil), udpPacket(src6, dst6, true, nil)} {
		flowHash(pkt[:len(pkt)-8]) // cut off before the ports: it does not read past the end
	}
}

// The queue of a flow does not depend on the SA, or on who receives; a peer without SAs for single
// workers has all in the queue of the worker that its SPIs name.
func TestQueueOfAFlow(t *testing.T) {
	g := newGateway(t, 3, nil)
	pkt := udpPacket(dst4, src4, true, nil)
	var pairs []*pair
	for id := ipsec.ChildID(1); id <= 5; id++ {
		sa := childSA(t, g, g, id)
		if id < 5 {
			sa.Resource, sa.PerResource = int(id-1), true
		}
		if err := g.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, g.pairs[id])
	}
	want := g.queues[uint64(flowHash(pkt))*3>>32]
	for _, w := range g.workers {
		for _, c := range pairs[:4] {
			if got := w.rx.order.queueFor(c, g.workers, pkt); got != want {
				t.Errorf("SA %d at worker %d: another queue", c.sa.ID, w.index)
			}
		}
		if got := w.rx.order.queueFor(pairs[4], g.workers, pkt); got != g.queues[w.index] {
			t.Errorf("one SA for all, at worker %d: another queue than its own", w.index)
		}
	}
}
