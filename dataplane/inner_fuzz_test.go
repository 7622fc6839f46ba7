package dataplane

import (
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// heardQueue is a queue that checks what is written to it.
type heardQueue struct {
	still
	written func(data []byte)
}

func (q *heardQueue) Write(p *gso.Packet, pieces [][]byte) error {
	if len(pieces) == 0 {
		q.written(p.Data)
	}
	return nil
}

// FuzzInner feeds a worker octets from both sides: as the decrypted content of an ESP packet of the
// peer, with any next header, and as a packet from the TUN device. Nothing panics. What is written
// to the device is an IP packet between the networks of the SA, and nothing is sent that is none.
func FuzzInner(f *testing.F) {
	for _, next := range []uint8{esp.NextIPv4, esp.NextIPv6, esp.NextDummy, 6, 0} {
		f.Add(next, udpPacket(dst4, src4, true, []byte("good")))
		f.Add(next, udpPacket(src6, dst6, true, []byte("good")))
	}
	f.Add(uint8(esp.NextIPv4), superPacket(src4, dst4, 1, make([]byte, 300), 100).Data)
	f.Fuzz(func(t *testing.T, next uint8, inner []byte) {
		if len(inner) > 8000 {
			return
		}
		q := &heardQueue{written: func(data []byte) {
			var p selector.Packet
			if err := selector.ParsePacket(data, &p); err != nil {
				t.Fatalf("%x is written to the device: %v", data, err)
			}
			if !within(p.Flow, lanA(), lanB()) {
				t.Fatalf("%v is written to the device", p.Flow)
			}
		}}
		g := newGateway(t, 1, func(c *Config) { c.Queues[0], c.Ports[0] = q, &q.still })
		sa := childSA(t, g, g, 1)
		if err := g.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
			t.Fatal(err)
		}
		if err := g.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		g.ActivateOutbound(sa.ID)
		w := g.workers[0]
		w.now, w.nowNano = time.Now(), time.Now().UnixNano()
		sealed := newPeer(t, sa).seal(next, inner)
		w.came(&netio.Received{Data: sealed, Path: sa.Path})
		pkt := gso.Packet{Data: w.reads(inner)}
		w.tx.outbound(&pkt, w.now)
		w.tx.out.flush()
		if n := len(q.last.Data); n > 0 {
			if flow, err := selector.ParseFlow(inner); err != nil || !within(flow, lanB(), lanA()) {
				t.Fatalf("%x is sent: %v %v", inner, flow, err)
			}
		}
		if n := g.Counters()["panic"]; n != 0 {
			t.Fatal("a worker panicked")
		}
	})
}

// within reports whether a flow goes from one of the remote networks to one of the local ones.
func within(flow selector.Flow, local, remote []selector.Selector) bool {
	in := func(list []selector.Selector, s selector.Selector) bool {
		return selector.Subset([]selector.Selector{s}, list)
	}
	return in(remote, selector.Selector{Start: flow.Src, End: flow.Src, EndPort: 65535}) && in(local, selector.Selector{Start: flow.Dst, End: flow.Dst, EndPort: 65535})
}
