package dataplane

import (
	"slices"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/tun"
	"culvert/tun/gso"
)

// crowdPackets is the number of packets that a crowdPort has at a time.
const crowdPackets = 1 << 14

// A crowdPort hands out packets of many peers in bursts, each from another SA.
type crowdPort struct {
	*sinkPort
	packets []netio.Received
	memory  []byte
	next    int
}

func (p *crowdPort) Recv(_ []byte, in *netio.Received) error {
	if p.next == len(p.packets) {
		return netio.ErrWouldBlock
	}
	*in = p.packets[p.next]
	p.next++
	return nil
}

// crowdPeers are the other ends of a crowd's SAs.
type crowdPeers struct {
	*crowd
	out map[uint32]*esp.Outbound
}

// send has peers send a packet of 64 octets each.
func (c *crowdPeers) send(b testing.TB, p *crowdPort, peers []uint32) {
	var s esp.Scratch
	inner := udpPacket(dst4, src4, true, make([]byte, 36))
	inner[16], inner[17], inner[18], inner[19] = 192, 0, 2, 1
	size := gcmFormat.SealedLen(len(inner))
	p.next, p.packets, p.memory = 0, p.packets[:0], append(p.memory[:0], make([]byte, size*len(peers)+tunTailroom)...)
	for i, n := range peers {
		out := c.out[n]
		if out == nil {
			sa := mirror(c.sas[n])
			var err error
			if out, err = esp.NewOutbound(sa.Outbound()); err != nil {
				b.Fatal(err)
			}
			c.out[n] = out
		}
		inner[12], inner[13], inner[14], inner[15] = 10, byte(n>>12), byte(n>>4), byte(n<<4)
		seq, _, err := out.Reserve(1, len(inner))
		if err != nil {
			b.Fatal(err)
		}
		pkt := out.Seal(&s, p.memory[i*size:], seq, inner, esp.NextIPv4)
		p.packets = append(p.packets, netio.Received{Kind: netio.ESP, Data: pkt, Path: c.sas[n].Path, More: i%maxReceives != maxReceives-1})
	}
}

// lostQueue forgets what is written.
type lostQueue struct {
	tun.Queue
	n int
}

func (q *lostQueue) Write(_ *gso.Packet, packets [][]byte) error {
	q.n += len(packets)
	return nil
}

// A burst with packets of more SAs than a cache holds, which are loaded together, comes through as
// any other: with IKE, an unknown SPI and a packet of an SA that was removed in between, and
// without an allocation.
func TestBurstOfManySAs(t *testing.T) {
	c := newCrowd(t, 2000).withPairs(t)
	if c.sad.size() < fetchFrom {
		t.Fatalf("%d slots are no more than a cache holds", c.sad.size())
	}
	r := &c.workers[0].rx
	queue, port := &lostQueue{}, &crowdPort{sinkPort: c.cfg.Ports[0].(*sinkPort)}
	r.queue, r.port = queue, port
	r.now = time.Now()
	others := &crowdPeers{c, map[uint32]*esp.Outbound{}}
	peers := []uint32{7, 7, 900, 1999, 3, 900, 1, 2, 4, 5}
	burst := func() {
		others.send(t, port, peers)
		if _, err := r.carry(r.order); err != nil {
			t.Fatal(err)
		}
	}
	if burst(); queue.n != len(peers) || r.ahead.loaded == 0 {
		t.Fatalf("%d of %d packets came through; loaded %d", queue.n, len(peers), r.ahead.loaded)
	}
	for _, p := range []*pair{c.pairs[c.sas[7].ID], c.pairs[c.sas[900].ID]} {
		if n := p.in.Used().Packets; n != 2 {
			t.Errorf("an SA counts %d packets, want 2", n)
		}
	}
	if slices.ContainsFunc(r.ahead.sas[:], func(in *esp.Inbound) bool { return in != nil }) {
		t.Error("SAs of a burst that has ended are kept alive")
	}
	queue.n = 0
	others.send(t, port, peers)
	port.packets[1].Kind = netio.IKE
	port.packets[2].Data[0] ^= 0x80 // an SPI that nobody has
	c.RemoveSA(c.sas[3].ID)
	if _, err := r.carry(r.order); err != nil || queue.n != len(peers)-3 {
		t.Errorf("%d of %d packets came through, %v", queue.n, len(peers)-3, err)
	}
	peers = []uint32{7, 900, 1999}
	port.packets = nil
	n := testing.AllocsPerRun(20, func() {
		port.next = 0
		if len(port.packets) > 0 { // replays: as dear, as far as the SAs are concerned
			_, _ = r.carry(r.order)
		} else {
			others.send(t, port, peers)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkReceiveScale carries packets of 64 octets from random peers, in bursts of 32: look-up,
// decryption, replay window, counters and selectors; the figure is for a packet.
func BenchmarkReceiveScale(b *testing.B) {
	var others crowdPeers // of all runs with one crowd: sequence numbers go on
	eachCrowd(b, func(b *testing.B, c *crowd, peers []uint32) {
		if others.crowd != c {
			others = crowdPeers{c, map[uint32]*esp.Outbound{}}
		}
		r := &c.workers[0].rx
		queue, port := &lostQueue{}, &crowdPort{sinkPort: c.cfg.Ports[0].(*sinkPort)}
		r.queue, r.port = queue, port
		r.now = time.Now()
		carry := func(peers []uint32) {
			b.StopTimer()
			others.send(b, port, peers)
			b.StartTimer()
			for {
				if _, err := r.carry(r.order); err != nil {
					return
				}
			}
		}
		for n := range c.sas { // the first packet of an SA tells the control plane
			if c.pairs[c.sas[n].ID].in.Used().Packets == 0 {
				carry([]uint32{uint32(n)})
			}
		}
		b.ReportAllocs()
		b.ResetTimer()
		at := 0
		for n := 0; n < b.N; n += crowdPackets {
			carry(peers[at : at+crowdPackets])
			at = (at + crowdPackets) & (len(peers) - 1)
		}
		b.StopTimer()
		if queue.n < b.N {
			b.Errorf("%d of %d packets came through", queue.n, b.N)
		}
	})
}
