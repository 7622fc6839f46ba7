package dataplane

import (
	"bytes"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// numberedPacket is a packet for the gateway of a peer's tests, with a number.
func numberedPacket(n int) []byte {
	return udpPacket(dst4, src4, true, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// reservedSA returns an SA pair of g whose inbound SPI is reserved, and its peer.
func reservedSA(t *testing.T, g *gateway, id ipsec.ChildID) (ipsec.ChildSA, *peer) {
	sa := childSA(t, g, g, id)
	return sa, newPeer(t, sa)
}

// comeAtWorker has a datagram arrive at the port of the worker that its SPI names.
func (g *gateway) comeAtWorker(data []byte) {
	spi, _ := esp.SPI(data)
	g.ports[netio.WorkerOf(spi, len(g.ports))].in.put(nil, netio.Received{Data: data, Path: ipsec.NATPath(outerA, outerB)})
}

// ESP that comes before its SA is installed is delivered then, in order and before what comes
// later, after every check. It is not reported as of an unknown SPI.
func TestEarlyESP(t *testing.T) {
	for _, workers := range []int{1, 2} {
		g := newGateway(t, workers, nil)
		g.start(t)
		sa, p := reservedSA(t, g, 1)
		const good = 20
		repeated := p.seal(esp.NextIPv4, numberedPacket(0))
		g.comeAtWorker(repeated)
		for n := 1; n < good; n++ {
			g.comeAtWorker(p.seal(esp.NextIPv4, numberedPacket(n)))
		}
		g.comeAtWorker(bytes.Clone(repeated))
		forged := p.seal(esp.NextIPv4, numberedPacket(0))
		forged[len(forged)-1] ^= 1
		g.comeAtWorker(forged)
		g.comeAtWorker(p.seal(esp.NextIPv4, udpPacket(src4, dst4, true, nil)))
		g.wantCounter(t, "esp_early", good+3)
		q := g.queues[netio.WorkerOf(sa.SPIIn, workers)]
		q.wantIdle(t)
		if err := g.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		g.comeAtWorker(p.seal(esp.NextIPv4, numberedPacket(good)))
		for n := range good + 1 {
			if got := q.want(t); !bytes.Equal(got, numberedPacket(n)) {
				t.Fatalf("%d workers: packet %d is %x", workers, n, got)
			}
		}
		for name, want := range map[string]uint64{"esp_early": good + 3, "esp_early_dropped": 0, "esp_replay": 1, "esp_icv": 1, "esp_selector_mismatch": 1, "esp_unknown_spi": 0} {
			g.wantCounter(t, name, want)
		}
		g.wantNoEvent(t)
		if q := &g.earlies; len(q.spis) != 0 || q.octets != 0 {
			t.Errorf("%d SPIs and %d octets are left", len(q.spis), q.octets)
		}
	}
}

// Each packet of a stream during which the SA is installed arrives once, whoever handles it, and
// the stream of an SA that is installed already is not touched.
func TestEarlyESPWhileItIsInstalled(t *testing.T) {
	const each, rounds = 24, 20 // fewer than earlyPackets
	g := newGateway(t, 2, nil)
	g.start(t)
	for round := range rounds {
		sa, p := reservedSA(t, g, ipsec.ChildID(round+1))
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := range each {
				g.comeAtWorker(p.seal(esp.NextIPv4, numberedPacket(n)))
			}
		})
		if err := g.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		seen := map[string]bool{}
		for range each {
			seen[string(g.queues[netio.WorkerOf(sa.SPIIn, 2)].want(t))] = true
		}
		if len(seen) != each {
			t.Fatalf("round %d: %d different packets, want %d", round, len(seen), each)
		}
		g.RemoveSA(sa.ID)
	}
	g.wantCounter(t, "esp_early_dropped", 0)
	g.wantCounter(t, "esp_unknown_spi", 0)
	for _, q := range g.queues {
		q.wantIdle(t)
	}
}

// A worker looks at its mailbox for early packets before it receives more.
func TestEarlyESPIsNotOvertaken(t *testing.T) {
	g := newGateway(t, 1, nil) // not running
	r := &g.workers[0].rx
	for range 3 {
		g.comeAtWorker(make([]byte, 100))
	}
	for _, want := range []int{2, 1} {
		g.workers[0].mail.putEarly([]earlyPacket{{}})
		if did, err := r.drain(); did != leftMore || err != nil || g.ports[0].in.len() != want {
			t.Errorf("drain did %v, %v, and left %d datagrams, want %d", did, err, g.ports[0].in.len(), want)
		}
	}
	g.workers[0].mail.take()
	if did, _ := r.drain(); did == leftMore || g.ports[0].in.len() != 0 {
		t.Errorf("drain did %v and left %d datagrams", did, g.ports[0].in.len())
	}
}

// What is kept is bounded for each SPI, by packets and by octets, and for all; one SPI does not
// take the room of another.
func TestEarlyESPIsBounded(t *testing.T) {
	g := newGateway(t, 1, nil)
	r := &g.workers[0].rx
	r.now, r.batch.order = time.Unix(1000, 0), r.order
	in := &netio.Received{Path: ipsec.NATPath(outerA, outerB)}
	come := func(spi uint32, size, n int) (kept int) {
		before := len(g.earlies.spis[spi])
		for range n {
			if r.early(spi, binary.BigEndian.AppendUint32(make([]byte, 0, size), spi)[:size], in) != nil {
				t.Fatal("there is an SA")
			}
		}
		return len(g.earlies.spis[spi]) - before
	}
	reserve := func() uint32 {
		spi, err := g.AllocSPI(0)
		if err != nil {
			t.Fatal(err)
		}
		return spi
	}
	if n := come(reserve(), 1500, earlyPackets+5); n != earlyPackets {
		t.Errorf("%d packets of one SPI are kept", n)
	}
	big := reserve()
	if n := come(big, 9000, 20); n != earlyOctets/(9000+earlyOverhead) {
		t.Errorf("%d large packets of one SPI are kept", n)
	}
	if n := come(reserve(), 100, 1); n != 1 {
		t.Error("one SPI takes the room of another")
	}
	for range 40 {
		come(reserve(), 9000, 20)
	}
	if q := &g.earlies; q.octets > earlyAllOctets || q.octets < earlyAllOctets-9000-earlyOverhead {
		t.Errorf("%d octets are kept", q.octets)
	}
	if kept, dropped := g.Counters()["esp_early"], g.Counters()["esp_early_dropped"]; kept+dropped != earlyPackets+5+20+1+40*20 {
		t.Errorf("%d kept and %d dropped", kept, dropped)
	}
	r.now = r.now.Add(earlyFor)
	if n := come(big, 9000, 1); n != 1-earlyOctets/(9000+earlyOverhead) {
		t.Errorf("%d more are kept of an SPI whose others are too old", n)
	}
	g.tickEarlies(r.now)
	if q := &g.earlies; len(q.spis) != 1 || q.octets != 9000+earlyOverhead {
		t.Errorf("%d SPIs and %d octets are left", len(q.spis), q.octets)
	}
}

// ESP of an SPI that is not reserved, and of SAs that exist, does not wait for what is kept.
func TestEarlyESPIsApart(t *testing.T) {
	g, p := oneGateway(t)
	g.earlies.mu.Lock()
	defer g.earlies.mu.Unlock()
	stranger := p.seal(esp.NextIPv4, numberedPacket(0))
	stranger[0] ^= 0x80
	g.comeAtWorker(stranger)
	g.wantCounter(t, "esp_unknown_spi", 1)
	g.comeAtWorker(p.seal(esp.NextIPv4, numberedPacket(1)))
	if got := g.queues[0].want(t); !bytes.Equal(got, numberedPacket(1)) {
		t.Errorf("got %x", got)
	}
}

// Early packets are dropped and counted if their SA does not come: after a second, and when its SPI
// is given back. After that the SPI is unknown.
func TestEarlyESPWithoutItsSA(t *testing.T) {
	for name, tt := range map[string]struct {
		end       func(t *testing.T, g *gateway, sa ipsec.ChildSA)
		delivered bool
		unknown   uint64
	}{
		"in time":    {func(*testing.T, *gateway, ipsec.ChildSA) {}, true, 0},
		"too late":   {func(_ *testing.T, g *gateway, _ ipsec.ChildSA) { g.clock.Add(int64(earlyFor)) }, false, 0},
		"given back": {func(_ *testing.T, g *gateway, sa ipsec.ChildSA) { g.FreeSPI(sa.SPIIn) }, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, 1, nil)
			g.clock.Store(int64(1000 * time.Second))
			g.start(t)
			sa, p := reservedSA(t, g, 1)
			g.comeAtWorker(p.seal(esp.NextIPv4, numberedPacket(0)))
			g.wantCounter(t, "esp_early", 1)
			tt.end(t, g, sa)
			if tt.unknown > 0 {
				g.comeAtWorker(p.seal(esp.NextIPv4, numberedPacket(1)))
				g.wantEvent(t, ipsec.EventUnknownSPI)
			}
			if err := g.InstallInbound(sa); err != nil {
				t.Fatal(err)
			}
			g.comeAtWorker(p.seal(esp.NextIPv4, numberedPacket(2)))
			want := numberedPacket(2)
			if tt.delivered {
				want = numberedPacket(0)
			}
			if got := g.queues[0].want(t); !bytes.Equal(got, want) {
				t.Errorf("got %x, want %x", got, want)
			}
			dropped := uint64(1)
			if tt.delivered {
				dropped = 0
			}
			g.wantCounter(t, "esp_early_dropped", dropped)
			g.wantCounter(t, "esp_unknown_spi", tt.unknown)
		})
	}
}

// Early ESP is received by the worker that it came to, whatever its SPI is: what comes later comes
// there as well.
func TestEarlyESPStaysWithItsPort(t *testing.T) {
	g := newGateway(t, 2, nil) // not running
	sa, p := reservedSA(t, g, 1)
	other := 1 - netio.WorkerOf(sa.SPIIn, 2)
	g.ports[other].in.put(nil, netio.Received{Data: p.seal(esp.NextIPv4, numberedPacket(0)), Path: ipsec.RawPath(outerA.Addr(), outerB.Addr())})
	g.workers[other].now = time.Now()
	if _, err := g.workers[other].rx.drain(); err != nil {
		t.Fatal(err)
	}
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	_, here, _ := g.workers[other].mail.take()
	_, there, _ := g.workers[1-other].mail.take()
	if len(here) != 1 || len(there) != 0 {
		t.Errorf("%d packets for the worker that has the port, and %d for the other", len(here), len(there))
	}
}
