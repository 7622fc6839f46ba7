package dataplane

import (
	"sync/atomic"
	"testing"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

// refusingQueue is a queue that has learnt, at its first super-packet, that the kernel takes none.
type refusingQueue struct {
	*fakeQueue
	learnt atomic.Bool
	supers atomic.Int64
}

func (q *refusingQueue) Write(p *gso.Packet, pieces [][]byte) error {
	if p.GSO != gso.None {
		q.learnt.Store(true)
		q.supers.Add(1)
	}
	return q.fakeQueue.Write(p, pieces)
}

// Offloads implements tun.Refuser.
func (q *refusingQueue) Offloads() gso.Offloads {
	if q.learnt.Load() {
		return gso.Offloads{Checksum: true}
	}
	return allOffloads
}

// TestNothingIsGatheredInVain: once the queue knows that the kernel refuses super-packets, none are
// made.
func TestNothingIsGatheredInVain(t *testing.T) {
	q := &refusingQueue{fakeQueue: newFakeQueue(t)}
	g := newGateway(t, 1, func(c *Config) { c.Queues[0], c.Offloads = q, allOffloads })
	if err := g.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	sa := childSA(t, g, g, 1)
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	peer := mirror(sa)
	out, err := esp.NewOutbound(peer.Outbound())
	if err != nil {
		t.Fatal(err)
	}
	g.start(t)
	var s esp.Scratch
	const runs, segments = 5, 4
	var seq uint32 = 1
	for range runs {
		var run []byte
		for range segments {
			pkt := tcpPacket(dst4, src4, seq, 0x10, nil, make([]byte, 1000))
			seq += 1000
			number, _, err := out.Reserve(1, len(pkt))
			if err != nil {
				t.Fatal(err)
			}
			run = append(run, out.Seal(&s, make([]byte, gcmFormat.SealedLen(len(pkt))), number, pkt, esp.NextIPv4)...)
		}
		g.ports[0].in.put(nil, netio.Received{Data: run, SegSize: len(run) / segments, Path: ipsec.NATPath(outerA, outerB)})
		for range segments {
			q.want(t)
		}
	}
	if n := q.supers.Load(); n != 1 {
		t.Errorf("%d super-packets were made", n)
	}
}
