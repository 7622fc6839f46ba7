package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// Datagrams of one burst are opened together only while their outer headers are the same: each has
// its own congestion mark, and its own sender.
func TestBurstOfManySenders(t *testing.T) {
	g, p := oneGateway(t)
	moved := netip.MustParseAddrPort("198.51.100.7:1024")
	const ect, ce = 2, 3
	var burst []netio.Received
	for i, from := range []struct {
		remote netip.AddrPort
		tos    uint8
	}{{outerB, ect}, {outerB, ect}, {outerB, ce}, {moved, ce}, {moved, ect}, {outerB, ect}} {
		inner := udpPacket(dst6, src6, true, []byte{byte(i)})
		inner[1] |= ect << 4
		burst = append(burst, netio.Received{Data: p.seal(esp.NextIPv6, inner), Path: ipsec.NATPath(outerA, from.remote), TOS: from.tos, More: i < 5})
	}
	g.ports[0].in.put(nil, burst...)
	for i, want := range []uint8{ect, ect, ce, ce, ect, ect} {
		got := g.queues[0].want(t)
		if hdr := parse(t, got); hdr.TOS != want || got[len(got)-1] != byte(i) {
			t.Errorf("packet %d: number %d with TOS %#x, want %#x", i, got[len(got)-1], hdr.TOS, want)
		}
	}
	if e := g.wantEvent(t, ipsec.EventPeerMoved); e.Path.Remote() != moved {
		t.Errorf("event %+v", e)
	}
}

// Datagrams that the kernel coalesced begin with one of an unknown SPI: the next is of its own
// sender, not of the one before.
func TestUnknownSPIAheadOfAnotherSender(t *testing.T) {
	g, p := oneGateway(t)
	moved := ipsec.NATPath(outerA, netip.MustParseAddrPort("198.51.100.7:1024"))
	seal := func() []byte { return p.seal(esp.NextIPv4, udpPacket(dst4, src4, true, nil)) }
	first, unknown, second := seal(), seal(), seal()
	unknown[0] ^= 0x80
	g.ports[0].in.put(nil, netio.Received{Data: first, Path: ipsec.NATPath(outerA, outerB), More: true},
		netio.Received{Data: append(unknown, second...), SegSize: len(second), Path: moved})
	g.queues[0].want(t)
	g.queues[0].want(t)
	if e := g.wantEvent(t, ipsec.EventPeerMoved); e.Path != moved {
		t.Errorf("event %+v", e)
	}
	g.wantCounter(t, "esp_unknown_spi", 1)
}

// A receive of more packets than are opened together, of which the SA may carry only some: those
// are delivered, and none after them.
func TestHardLimitWithinAReceive(t *testing.T) {
	const most, came = maxRxBatch + 20, 2*maxRxBatch + 5
	g := newGateway(t, 1, nil)
	g.start(t)
	sa := childSA(t, g, g, 1)
	sa.Limits = esp.Limits{HardPackets: most}
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	sa.Limits = esp.Limits{} // our peer has none
	p := newPeer(t, sa)
	var run []byte
	for i := range came {
		run = append(run, p.seal(esp.NextIPv4, udpPacket(dst4, src4, true, []byte{byte(i)}))...)
	}
	g.ports[0].in.put(nil, netio.Received{Data: run, SegSize: len(run) / came, Path: ipsec.NATPath(outerA, outerB)})
	for i := range most {
		if got := g.queues[0].want(t); got[len(got)-1] != byte(i) {
			t.Fatalf("packet %d, want %d", got[len(got)-1], i)
		}
	}
	g.wantCounter(t, "sa_expired", came-most)
	g.queues[0].wantIdle(t)
	var hard int
	for _, e := range g.Drain() {
		if e.Kind == ipsec.EventExpire && e.Hard {
			hard++
		}
	}
	if st, _ := g.ChildStats(1); hard != 1 || st.PacketsIn != came {
		t.Errorf("%d hard expirations told, %+v", hard, st)
	}
}

// TestLookAhead: a burst of several SAs, of an SPI that nobody has, and of IKE; later datagrams of
// a message may be of another SA.
func TestLookAhead(t *testing.T) {
	s := newSAD()
	a, b := testPair(0x1001), testPair(0x2002)
	for _, p := range []*pair{a, b} {
		if err := s.install(p); err != nil {
			t.Fatal(err)
		}
	}
	message := func(kind netio.Kind, spi uint32) netio.Received {
		return netio.Received{Kind: kind, Data: binary.BigEndian.AppendUint32(make([]byte, 0, 64), spi)[:64]}
	}
	in := []netio.Received{message(netio.ESP, 0x1001), message(netio.IKE, 0x1001), message(netio.ESP, 0x3003), message(netio.ESP, 0x2002)}
	var l lookAhead
	l.look(s, in)
	for i, want := range []*pair{a, nil, nil, b} {
		if l.pairs[i] != want {
			t.Errorf("message %d: %v, want %v", i, l.pairs[i], want)
		}
	}
	for l.at = range in {
		for spi, want := range map[uint32]*pair{0x1001: a, 0x2002: b, 0x3003: nil} {
			if got := l.find(s, spi); got != want {
				t.Errorf("SPI %#x in message %d: %v, want %v", spi, l.at, got, want)
			}
		}
	}
	// What was looked up counts for the burst, and is forgotten with it.
	s.remove(a)
	l.at = 0
	if l.find(s, 0x1001) != a {
		t.Error("the SA of a message is looked up again")
	}
	l.forget()
	if l.find(s, 0x1001) != nil || l.pairs[0] != nil {
		t.Error("a removed SA is kept")
	}
}
