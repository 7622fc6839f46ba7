package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// ESP with an unknown SPI is reported with its sender and its SPI, once a second for each sender.
func TestUnknownSPIIsReported(t *testing.T) {
	g, p := oneGateway(t)
	g.clock.Store(int64(1000 * time.Second))
	data := p.seal(esp.NextIPv4, udpPacket(dst4, src4, true, nil))
	data[0] ^= 0x80
	spi, _ := esp.SPI(data)
	come := func(n int) {
		for range n {
			g.come(outerB, data)
		}
	}
	count := uint64(0)
	for range 3 {
		come(5)
		count += 5
		g.wantCounter(t, "esp_unknown_spi", count)
		if e := g.wantEvent(t, ipsec.EventUnknownSPI); e.SPI != spi || e.Size == 0 || e.Path.Remote() != outerB {
			t.Errorf("event %+v", e)
		}
		if e := g.Drain(); len(e) != 0 {
			t.Errorf("more events: %+v", e)
		}
		g.clock.Add(unknownEvery)
	}
	// One of a known SPI is none.
	g.ports[0].in.put(nil, netio.Received{Data: p.seal(esp.NextIPv4, udpPacket(dst4, src4, true, nil)), Path: ipsec.NATPath(outerA, outerB)})
	g.queues[0].want(t)
	for _, e := range g.Drain() {
		if e.Kind == ipsec.EventUnknownSPI {
			t.Errorf("event %+v", e)
		}
	}
}

// However many strangers send, the reports of a second are bounded, and a sender in a slot of its
// own is not hidden by others.
func TestUnknownSPIsAreBounded(t *testing.T) {
	g := newGateway(t, 1, nil)
	u := &g.unknown
	reports := 0
	for i := range 1 << 16 {
		if u.due(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 5) {
			reports++
		}
	}
	if reports > unknownSlots || reports < unknownSlots*9/10 {
		t.Errorf("%d reports with %d slots", reports, unknownSlots)
	}
	peer := outerB.Addr()
	for _, at := range []struct {
		now  int64
		want bool
	}{{5, false}, {4 + unknownEvery, false}, {5 + unknownEvery, true}, {6 + unknownEvery, false}, {3, true}} {
		if got := u.due(peer, at.now); got != at.want {
			t.Errorf("at %d: %v", at.now, got)
		}
	}
}

// ESP of strangers costs no memory.
func BenchmarkUnknownSPI(b *testing.B) {
	g := newGateway(b, 1, nil)
	r := &g.workers[0].rx
	r.nowNano = 1
	in, pkt := &netio.Received{Path: ipsec.NATPath(outerA, outerB)}, make([]byte, 100)
	r.early(7, pkt, in)
	b.ReportAllocs()
	for b.Loop() {
		r.early(7, pkt, in)
	}
}
