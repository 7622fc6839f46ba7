package dataplane

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

// journal is a queue and a port in memory that keep what is sent, datagram by datagram, and what
// is written.
type journal struct {
	still
	sent    []netio.Received
	written [][]byte
	off     bool
}

func (r *journal) Send(outs []netio.Outgoing) {
	for _, o := range outs {
		if r.off {
			break
		}
		size := o.SegSize
		if size == 0 {
			size = len(o.Data)
		}
		for part := range slices.Chunk(bytes.Clone(o.Data), size) {
			r.sent = append(r.sent, netio.Received{Data: part, Path: o.Path})
		}
	}
}

func (r *journal) Write(p *gso.Packet, pieces [][]byte) error {
	r.written = append(r.written, slices.Concat(append([][]byte{p.Data}, pieces...)...))
	return nil
}

// A copier is a worker that sends on pair 1, of lan, and whose plane has pair 2, of spare.
type copier struct {
	*worker
	*journal
}

func newCopier(t *testing.T, workers int) copier {
	r := &journal{}
	c := copier{loopOf(t, workers, r, r), r}
	c.worker.now = time.Unix(1e9, 0)
	if err := c.plane.ChangePolicies([]ipsec.Policy{{ID: spare, Local: lanA(), Remote: lanB(), Standby: true}}, nil); err != nil {
		t.Fatal(err)
	}
	g := &gateway{Plane: c.plane}
	sa := childSA(t, g, g, 2)
	sa.Policy, sa.SPIOut, sa.KeyOut, sa.ReplayWindow = spare, sa.SPIIn, sa.KeyIn, 0
	sa.LocalTS = append(lanA(), lanB()...)
	sa.RemoteTS = sa.LocalTS
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	g.ActivateOutbound(sa.ID)
	return c
}

// carry sends a packet after a while, and returns how many datagrams were sent on the pairs 1 and
// 2.
func (c copier) carry(pkt gso.Packet, after time.Duration) (sent [2]int) {
	c.worker.now = c.worker.now.Add(after)
	c.nowNano = c.worker.now.UnixNano()
	c.openMail()
	pkt.Data = c.reads(pkt.Data)
	c.sent = nil
	c.tx.outbound(&pkt, c.worker.now)
	c.tx.sealBatch()
	c.tx.out.flush()
	for i := range c.sent {
		spi, _ := esp.SPI(c.sent[i].Data)
		for id := range sent {
			if c.plane.pairs[ipsec.ChildID(id+1)].sa.SPIIn == spi {
				sent[id]++
			}
		}
	}
	return sent
}

// TestCopyPackets: of the packets of a policy only some are sent on an SA of another one as well,
// none sooner than copyEvery after the one before; all are sent on their own SA.
func TestCopyPackets(t *testing.T) {
	for _, workers := range []int{1, 2} {
		c := newCopier(t, workers)
		one := gso.Packet{Data: udpPacket(src4, dst4, true, []byte("once"))}
		copies := func(n int, every time.Duration) (copied int) {
			for range n {
				sent := c.carry(one, every)
				if copied += sent[1]; sent[0] != 1 {
					t.Fatalf("%d of one packet were sent on its SA", sent[0])
				}
			}
			return copied
		}
		if n := copies(10, time.Second); n != 0 {
			t.Errorf("%d copies without a word", n)
		}
		c.plane.CopyPackets(lan, spare, 3)
		if n := copies(9, copyEvery/3); n != 3 {
			t.Errorf("%d copies in a time for 3", n)
		}
		if n := copies(10, time.Second); n != 0 {
			t.Errorf("%d copies more than were asked for", n)
		}
		c.plane.CopyPackets(lan, spare, 3)
		c.plane.CopyPackets(lan, spare, 5)
		c.plane.CopyPackets(spare, lan, 5) // no packet is spare's
		if n := copies(10, time.Second); n != 5 {
			t.Errorf("%d copies, want the last number", n)
		}
		for name, end := range map[string]func(){
			"none are left":      func() { c.plane.CopyPackets(lan, spare, 0) },
			"no such policy":     func() { c.plane.CopyPackets(99, spare, 5) },
			"the policy is gone": func() { _ = c.plane.ChangePolicies(nil, []ipsec.PolicyID{spare}) },
		} {
			if c.plane.CopyPackets(lan, spare, 5); copies(1, time.Second) != 1 {
				continue // it is gone already
			}
			if end(); copies(3, time.Second) != 0 {
				t.Errorf("copies, though %s", name)
			}
		}
		if n := len(c.tx.copyings); n > 1 {
			t.Errorf("the worker keeps %d", n)
		}
	}
}

// TestWhatIsCopied: a copy is the packet itself, or the first segment of a super-packet, without
// the flags of the last.
func TestWhatIsCopied(t *testing.T) {
	super := superPacket(src4, dst4, 1, bytes.Repeat([]byte("octets"), 500), 1000)
	super.Data[33] |= 1                                               // FIN
	syn := tcpPacket(src6, dst6, 1, 2, []byte{2, 4, 0x23, 0x28}, nil) // MSS 9000
	for name, pkt := range map[string]gso.Packet{
		"small":        {Data: udpPacket(src6, dst6, true, []byte("small"))},
		"SYN":          {Data: syn},
		"super-packet": super,
	} {
		c := newCopier(t, 1)
		c.plane.CopyPackets(lan, spare, 1)
		sent := c.carry(pkt, time.Second)
		if sent[1] != 1 || sent[0] != max(1, (len(pkt.Data)-int(pkt.HdrLen)+999)/1000) {
			t.Fatalf("%s: %v datagrams were sent", name, sent)
		}
		for i := range c.sent {
			c.came(&c.sent[i])
		}
		c.rx.gather.Flush()
		if len(c.written) < 2 || !bytes.Equal(c.written[0], c.written[1]) {
			t.Errorf("%s: got %x", name, c.written)
		}
		if name == "super-packet" && (len(c.written[0]) != 1040 || c.written[0][33]&9 != 0) {
			t.Errorf("the copy is %x", c.written[0][:40])
		}
	}
	c := newCopier(t, 1)
	c.plane.CopyPackets(lan, spare, 1)
	c.plane.pairs[2].mtu.Store(100)
	if sent := c.carry(gso.Packet{Data: udpPacket(src4, dst4, true, make([]byte, 500))}, time.Second); sent[1] != 0 {
		t.Error("a packet was copied that is too large")
	}
}

// TestCopiesAllocateNothing: with a copy of each packet.
func TestCopiesAllocateNothing(t *testing.T) {
	c := newCopier(t, 1)
	c.off = true
	c.plane.CopyPackets(lan, spare, 1<<30)
	c.openMail()
	one, super := udpPacket(src4, dst4, true, make([]byte, 1200)), superPacket(src6, dst6, 1, make([]byte, 60000), 1300)
	pkt := gso.Packet{}
	if n := testing.AllocsPerRun(200, func() {
		c.nowNano += int64(copyEvery)
		pkt = gso.Packet{Data: c.reads(one)}
		c.tx.outbound(&pkt, c.worker.now)
		c.nowNano += int64(copyEvery)
		pkt = super
		pkt.Data = c.reads(super.Data)
		c.tx.outbound(&pkt, c.worker.now)
		c.tx.out.flush()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if n := c.plane.Counters()["out_copied"]; n < 400 {
		t.Errorf("%d copies", n)
	}
}
