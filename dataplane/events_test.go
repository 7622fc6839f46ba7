package dataplane

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

func TestFirstInbound(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	for range 3 {
		a.queues[0].inject(udpPacket(src4, dst4, true, nil))
		b.queues[0].want(t)
	}
	if e := b.wantEvent(t, ipsec.EventFirstInbound); e.ID != 1 {
		t.Errorf("event %+v", e)
	}
	if e := b.Drain(); len(e) != 0 {
		t.Errorf("more events: %+v", e)
	}
	if e := a.Drain(); len(e) != 0 {
		t.Errorf("events at the sender: %+v", e)
	}
	last, ok := b.LastTraffic(1)
	if !ok || last.In.IsZero() || !last.Out.IsZero() || !last.Answered.IsZero() || time.Since(last.In) > patience {
		t.Errorf("LastTraffic = %+v, %v", last, ok)
	}
	if _, ok := b.LastTraffic(2); ok {
		t.Error("LastTraffic of no SA")
	}
	if _, ok := b.ChildStats(2); ok {
		t.Error("ChildStats of no SA")
	}
}

// recorded are the n datagrams that send makes g send; they do not arrive.
func recorded(g *gateway, n int, send func()) [][]byte {
	list := make(chan []byte, n)
	g.ports[0].sending(func(o *netio.Outgoing) error {
		list <- o.Data
		return errors.New("on purpose")
	})
	defer g.ports[0].sending(nil)
	send()
	var got [][]byte
	for range n {
		got = append(got, <-list)
	}
	return got
}

// come makes an encapsulated datagram arrive at g.
func (g *gateway) come(from netip.AddrPort, data []byte) {
	g.comeOn(ipsec.NATPath(outerB, from), data)
}

// comeOn makes a datagram arrive at g on a path.
func (g *gateway) comeOn(p ipsec.Path, data []byte) {
	g.ports[0].in.put(nil, netio.Received{Data: bytes.Clone(data), Path: p})
}

func TestPeerMoved(t *testing.T) {
	a, b, sa := tunnel(t, 1)
	b.clock.Store(int64(1000 * time.Second))
	d := recorded(a, 5, func() {
		for range 5 {
			a.queues[0].inject(udpPacket(src4, dst4, true, nil))
		}
	})
	moved := ipsec.NATPath(outerB, netip.MustParseAddrPort("198.51.100.7:1024"))
	b.come(outerA, d[1])
	b.queues[0].want(t)
	b.comeOn(moved, d[0]) // authentic, but overtaken
	b.queues[0].want(t)
	b.comeOn(moved, d[1]) // a replay
	forged := bytes.Clone(d[4])
	forged[20] ^= 1
	b.comeOn(moved, forged)
	b.wantCounter(t, "esp_replay", 1)
	b.wantCounter(t, "esp_icv", 1)
	b.wantNoEvent(t)
	b.comeOn(moved, d[2])
	b.queues[0].want(t)
	if e := b.wantEvent(t, ipsec.EventPeerMoved); e.Path != moved || e.ID != 1 {
		t.Errorf("event %+v", e)
	}
	b.comeOn(moved, d[3]) // said already
	b.queues[0].want(t)
	b.wantNoEvent(t)
	b.SetPath(1, moved)
	b.comeOn(moved, d[4])
	b.queues[0].want(t)
	b.wantNoEvent(t)
	sent := recorded(b, 1, func() { b.queues[0].inject(udpPacket(dst4, src4, true, nil)) })
	if len(sent) != 1 || sa.SPIIn == 0 {
		t.Error("nothing was sent on the new path")
	}
}

// A pair whose packets this host refuses to send says so, once a second.
func TestUnsent(t *testing.T) {
	a, _, _ := tunnel(t, 1)
	a.clock.Store(int64(1000 * time.Second))
	a.ports[0].sending(func(*netio.Outgoing) error { return fmt.Errorf("send: %w", netio.ErrNoRoute) })
	lose := func(n uint64) {
		t.Helper()
		a.queues[0].inject(udpPacket(src4, dst4, true, nil))
		a.wantCounter(t, "out_send_errors", n)
	}
	lose(1)
	if e := a.wantEvent(t, ipsec.EventUnsent); e.ID != 1 || e.Why != ipsec.ObstacleRoute {
		t.Errorf("event %+v", e)
	}
	lose(2)
	a.wantNoEvent(t)
	a.clock.Store(int64(1001 * time.Second))
	lose(3)
	a.clock.Store(int64(1002 * time.Second))
	lose(4)
	a.wantEvent(t, ipsec.EventUnsent)
	a.wantNoEvent(t) // those that nobody took are one
	a.ports[0].sending(func(*netio.Outgoing) error { return errors.New("operation not permitted") })
	a.clock.Store(int64(1003 * time.Second))
	lose(5)
	a.wantNoEvent(t)
	a.ports[0].sending(func(*netio.Outgoing) error { return unix.EPERM })
	lose(6)
	if e := a.wantEvent(t, ipsec.EventUnsent); e.Why != ipsec.ObstacleFirewall {
		t.Errorf("event %+v", e)
	}
}

func TestRawESPPeersDoNotMove(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	b.SetPath(1, ipsec.RawPath(outerB.Addr(), outerA.Addr()))
	d := recorded(a, 1, func() { a.queues[0].inject(udpPacket(src4, dst4, true, nil)) })
	b.comeOn(ipsec.RawPath(outerB.Addr(), netip.MustParseAddr("198.51.100.7")), d[0])
	b.queues[0].want(t)
	b.wantNoEvent(t)
}

func TestPeerMovedReplacesItself(t *testing.T) {
	q := newEvents()
	first, second := ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.8:1")), ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.9:1"))
	q.post(ipsec.Event{Kind: ipsec.EventPeerMoved, ID: 1, Path: first})
	q.post(ipsec.Event{Kind: ipsec.EventPeerMoved, ID: 2, Path: first})
	q.post(ipsec.Event{Kind: ipsec.EventPeerMoved, ID: 1, Path: second})
	got := q.drain()
	if len(got) != 2 || got[0].Path != second || got[1].ID != 2 {
		t.Errorf("events %+v", got)
	}
	q.post(ipsec.Event{Kind: ipsec.EventPeerMoved, ID: 1, Path: first})
	if got := q.drain(); len(got) != 1 {
		t.Errorf("events after a drain %+v", got)
	}
}

func TestLimits(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	sa := childSA(t, a, b, 1)
	sa.Limits = esp.Limits{SoftPackets: 3, HardPackets: 5}
	theirs := mirror(sa)
	theirs.Limits = esp.Limits{}
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	if err := b.InstallInbound(theirs); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(1)
	pkt := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(pkt, pkt)
	b.queues[0].want(t)
	b.queues[0].want(t)
	a.wantNoEvent(t)
	a.queues[0].inject(pkt)
	if e := a.wantEvent(t, ipsec.EventExpire); e.Hard || e.ID != 1 {
		t.Errorf("event %+v", e)
	}
	a.queues[0].inject(pkt, pkt)
	for range 3 {
		b.queues[0].want(t)
	}
	a.wantNoEvent(t)
	a.queues[0].inject(pkt) // over the hard limit: kept for the next SA
	eventually(t, "two events", func() bool {
		a.events.mu.Lock()
		defer a.events.mu.Unlock()
		return len(a.events.list) == 2
	})
	e := a.Drain()
	if e[0].Kind != ipsec.EventExpire || !e[0].Hard || e[1].Kind != ipsec.EventAcquire {
		t.Errorf("events %+v", e)
	}
	install(t, a, b, childSA(t, a, b, 2))
	b.queues[0].want(t)
	if st, _ := a.ChildStats(1); st.PacketsOut != 5 || st.Drops["expired"] != 0 { // it was not lost
		t.Errorf("the old SA: %+v", st)
	}
}

func TestInboundLimits(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	sa := childSA(t, a, b, 1)
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(1)
	theirs := mirror(sa)
	pkt := udpPacket(src4, dst4, true, nil)
	theirs.Limits = esp.Limits{SoftBytes: uint64(len(pkt)), HardBytes: 2 * uint64(len(pkt))}
	if err := b.InstallInbound(theirs); err != nil {
		t.Fatal(err)
	}
	a.queues[0].inject(pkt)
	if e := b.wantEvent(t, ipsec.EventExpire); e.Hard {
		t.Errorf("event %+v", e)
	}
	a.queues[0].inject(pkt, pkt)
	if e := b.wantEvent(t, ipsec.EventExpire); !e.Hard {
		t.Errorf("event %+v", e)
	}
	b.wantCounter(t, "sa_expired", 1)
	if len(b.queues[0].out) != 2 {
		t.Errorf("%d packets came through, want 2", len(b.queues[0].out))
	}
}
