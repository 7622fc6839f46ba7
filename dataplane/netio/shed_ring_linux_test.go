package netio

import (
	"encoding/binary"
	"testing"
)

// TestProgramSheds: the program drops the part of the packets of an SA that is shed, of up to
// maxShed SAs, and nothing of the others.
func TestProgramSheds(t *testing.T) {
	m := newTestMaps(t)
	r, err := m.addRing(0)
	if err != nil {
		t.Fatal(err)
	}
	came := func(spi uint32, packets int) int {
		t.Helper()
		m.table.know(spi)
		head, full := word(r.mem, ringHead).Load(), r.full()
		for i := range packets {
			if verdict, _, err := m.program.Test(espFrame(i%2 > 0, spi, 100)); err != nil || verdict != tcxDrop {
				t.Fatalf("verdict %d, %v", verdict, err)
			}
		}
		n := int(word(r.mem, ringHead).Load() - head)
		if lost := int(r.full() - full); n+lost != packets {
			t.Errorf("SPI %d: %d came and %d count as lost, of %d", spi, n, lost, packets)
		}
		return n
	}
	r.shedding.shed = []shedSPI{{spi: 1000, keep: 0}, {spi: 1<<31 + 7, keep: 1 << 31}, {spi: 1002, keep: 1<<32 - 1}, {spi: 1003, keep: 0}}
	r.tellShed()
	for spi, want := range map[uint32]int{1000: 0, 1002: 200, 1003: 0, 1004: 200} {
		if got := came(spi, 200); got != want {
			t.Errorf("of SPI %d %d of 200 came, want %d", spi, got, want)
		}
	}
	if got := came(1<<31+7, 400); got < 130 || got > 270 { // seven standard deviations
		t.Errorf("of 400 packets of which half is shed %d came", got)
	}
	r.emptied()
	for _, spi := range []uint32{1000, 1003, 1<<31 + 7} {
		if got := came(spi, 200); got != 200 {
			t.Errorf("nothing is shed, and of SPI %d %d of 200 came", spi, got)
		}
	}
}

// TestFloodOfRingHurtsItself is TestFloodHurtsItself past the IP stack.
func TestFloodOfRingHurtsItself(t *testing.T) {
	const flood, good, rounds, flooding, taken = 1000, 1001, 4000, 20, 5
	p := newRingPair(t, 1)
	p.live(t, flood)
	p.live(t, good)
	for _, v6 := range []bool{false, true} {
		rx, tx := p.netB.Ports()[0], p.netA.Ports()[0]
		var outs []Outgoing
		for range flooding {
			outs = append(outs, Outgoing{Data: espPacket(flood, 1400), Path: espPath(false, at(addrA[v6], 0), at(addrB[v6], 0))})
		}
		outs = append(outs, Outgoing{Data: espPacket(good, 1400), Path: espPath(false, at(addrA2[v6], 0), at(addrB[v6], 0))})
		var in Received
		came := map[uint32]int{}
		receive := func(n int) bool {
			for range n {
				if rx.Recv(nil, &in) != nil {
					return false
				}
				came[binary.BigEndian.Uint32(in.Data)]++
			}
			return true
		}
		dry := func() {
			for receive(1000) {
			}
		}
		before := p.netB.Counters()
		for round := range rounds {
			if round == rounds/2 {
				dry()
				clear(came)
			}
			tx.Send(outs)
			receive(taken)
		}
		dry()
		t.Logf("v6=%t: of the flood %d of %d came, of the other %d of %d", v6, came[flood], flooding*rounds/2, came[good], rounds/2)
		if n := p.netB.Counters(); n["net_shed"] == before["net_shed"] || n["net_ring_full"] == before["net_ring_full"] {
			t.Errorf("v6=%t: the counters are %v", v6, n)
		}
		if came[good] < rounds/2*4/10 {
			t.Errorf("v6=%t: of %d packets beside the flood %d came", v6, rounds/2, came[good])
		}
		if came[flood] < (taken-2)*rounds/2 {
			t.Errorf("v6=%t: of %d packets of the flood %d came, although there was room for %d", v6, flooding*rounds/2, came[flood], (taken-1)*rounds/2)
		}
		clear(came)
		tx.Send(outs[:1])
		if dry(); came[flood] != 1 {
			t.Errorf("v6=%t: the flood is over, and of one packet %d came", v6, came[flood])
		}
		if shed := p.netB.ports[0].ring.Load().shed; len(shed) > 0 {
			t.Errorf("v6=%t: the flood is over, and %+v is shed", v6, shed)
		}
	}
}
