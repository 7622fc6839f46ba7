package ike

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"culvert/ike/wire"
)

// FuzzPair lets the input decide, octet by octet, what happens to two engines: deliveries, losses,
// duplicates, corruption, commands and crashes. Then both must come to rest as in the simulation.
func FuzzPair(f *testing.F) {
	f.Add(uint64(1), []byte{0, 1, 0, 1, 6, 7, 0, 1, 0, 1, 0, 1})
	f.Add(uint64(2), []byte{0, 1, 0, 1, 8, 9, 1, 0, 0, 1, 2, 0x24, 0, 1})
	f.Add(uint64(3), []byte{0, 1, 0, 1, 10, 7, 0, 1, 3, 0x13, 13, 0x35, 0, 1, 14, 0x1e})
	f.Add(uint64(4), []byte{0, 1, 13, 0x1d, 0x75, 0, 1, 0, 1, 8, 6, 11, 0, 1, 0, 1})
	// A child is rekeyed on the peer's successor of an IKE SA while our rekeying of it is computed.
	f.Add(uint64(2), []byte("010189&00"))
	// A try is given up when its IKE_AUTH is on the wire, and another one begun.
	f.Add(uint64(106), []byte("011z,000"))
	f.Add(uint64(244), []byte("011z\xbc100"))
	// Both start at once, and one IKE SA is rekeyed before it is decided which of them stays.
	f.Add(uint64(11), []byte("00\xdc10A18"))
	f.Fuzz(func(t *testing.T, seed uint64, ops []byte) {
		s := &simulation{rand: rand.New(seededRand(seed, "simulation")), childless: rand.New(seededRand(seed, "childless"))}
		s.p = newPair(t, seed%1000, twoChildren)
		s.listTunnels()
		p := s.p
		for _, side := range []*testSide{p.left, p.right} {
			side.peers[0].DPD = 10 * time.Second
			side.handle(SetPeers{Peers: side.peers})
		}
		p.script(true)
		p.left.connect("lan")
		for _, op := range ops[:min(len(ops), 200)] {
			s.fuzzOp(op&15, int(op>>4))
		}
		p.script(false)
		for _, side := range []*testSide{p.left, p.right} {
			for _, m := range side.out {
				p.arrive(m.pk)
			}
		}
		for _, tu := range s.tunnels {
			tu.ends[0].down = true // as far as is known
		}
		if err := s.heal(); err != nil {
			t.Fatalf("%v\n%s", err, p.transcript(*simLines))
		}
	})
}

// fuzzOp is one step of FuzzPair.
func (s *simulation) fuzzOp(op byte, arg int) {
	p := s.p
	sides := [2]*testSide{p.left, p.right}
	side := sides[op&1]
	switch op {
	case 0, 1, 2, 3, 14:
		p.drive(20 * time.Millisecond)
		if len(side.out) == 0 {
			return
		}
		i := arg % len(side.out)
		m := side.out[i]
		if op != 3 { // 3 is delivered, and stays to be delivered again
			side.out = append(side.out[:i], side.out[i+1:]...)
		}
		if op == 14 && m.protected {
			m.pk.data[len(m.pk.data)*arg/16] ^= 1
		}
		if op != 2 {
			p.deliver(m)
		}
	case 4:
		p.drive(time.Duration(arg) * 100 * time.Millisecond)
	case 5:
		p.drive(time.Duration(arg) * 10 * time.Second)
	case 6, 7:
		side.rekey([]string{"lan", "two"}[arg&1])
	case 8, 9:
		side.rekey("")
	case 10, 11:
		side.disconnect([]string{"lan", "", "two"}[arg%3])
	case 12:
		sides[arg&1].connect([]string{"lan", "", "two"}[arg%3])
	case 13:
		sides[arg&1].kill()
		sides[arg&1].start()
	case 15:
		sides[arg&1].traffic([]string{"lan", "two"}[arg>>1&1])
	}
}

// FuzzEngine feeds an engine octets from a stranger, or from the authenticated peer. It must not
// panic, keep state, or stop working.
func FuzzEngine(f *testing.F) {
	a := &attack{testPair: newPair(f, 1, nil)}
	r := a.newRogue(a.right)
	f.Add(byte(0), r.message(r.payloads()))
	f.Add(byte(1), wire.AppendPayloads(nil, r.payloads()))
	f.Add(byte(2), wire.AppendPayloads(nil, r.authPayloads(&wire.ID{IDType: wire.IDFQDN, Data: []byte("left.example.com")})))
	f.Add(byte(3), wire.AppendPayloads(nil, a.childRequest(nil)))
	f.Add(byte(3), wire.AppendPayloads(nil, a.childRequest(&wire.Notify{Protocol: wire.ProtoESP, Kind: wire.RekeySA, SPI: make([]byte, 4)})))
	f.Add(byte(4), wire.AppendPayloads(nil, []wire.Payload{&wire.Delete{Protocol: wire.ProtoESP, SPISize: 4, SPIs: [][]byte{make([]byte, 4)}}}))
	f.Add(byte(5), make([]byte, 60))
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		if len(data) > 2000 {
			return
		}
		p := newPair(t, 1, nil)
		p.up()
		a := newAttack(p)
		a.fuzzed(kind%6, data)
		p.drive(3 * time.Minute)
		if p.right.e.Counters()["ike_panic"] > 0 {
			p.fatalf("panic: %s", p.wantNotice(p.right, "panic").Text)
		}
		if n := p.right.e.sas.halfOpen.Count() + len(p.right.plane.allocated) + len(p.right.e.jobs.waiting); n != 0 {
			p.fatalf("%d half-open IKE SAs, SPIs and computations stay", n)
		}
		p.wantSound()
		if kind%6 <= 2 || kind%6 == 5 {
			p.wantTunnel() // strangers change nothing
		}
	})
}

// fuzzed brings the octets to the right side in one of the ways that there are.
func (a *attack) fuzzed(kind byte, data []byte) {
	first := wire.PayloadSA
	if kind == 2 {
		first = wire.PayloadIDi
	}
	if kind == 4 {
		first = wire.PayloadDelete
	}
	switch kind {
	case 0:
		a.inject(a.right, attacker, data)
	case 1: // the payloads of an IKE_SA_INIT request
		b := wire.Header{InitiatorSPI: 1, NextPayload: first, Exchange: wire.IKESAInit, Initiator: true}.AppendTo(nil)
		b = append(b, data...)
		binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
		a.inject(a.right, attacker, b)
	case 2: // the content of an IKE_AUTH request
		r := a.newRogue(a.right)
		r.sendInit(r.payloads())
		r.sendRaw(wire.IKEAuth, 1, first, data)
	case 3, 4: // what the peer itself sends
		ex := map[byte]wire.ExchangeType{3: wire.CreateChildSA, 4: wire.Informational}[kind]
		a.inject(a.right, a.left.home(), a.forgeRequest(a.right, ex, first, data))
	case 5: // the header is right, the rest is not authentic
		main, _ := a.established(a.right)
		h := wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, NextPayload: wire.PayloadSK, Exchange: wire.Informational, Initiator: true, MessageID: main.win.ExpectedID()}
		b := append(h.AppendTo(nil), data...)
		binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
		a.inject(a.right, attacker, b)
	}
}
