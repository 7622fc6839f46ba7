package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// fragmenting returns a pair whose IKE_AUTH messages need fragments.
func fragmenting(size int) func(p *testPair) {
	return func(p *testPair) {
		p.left.peers[0].Fragment, p.right.peers[0].Fragment = size, size
	}
}

// nextFragments returns all fragments of the next message that a side sends.
func (p *testPair) nextFragments(s *testSide) []*testMessage {
	p.t.Helper()
	first := p.nextSent(s)
	if first == nil || first.fragment == "" {
		p.fatalf("%s sends %v, want fragments", s.name, first)
	}
	list := append([]*testMessage{first}, s.out...)
	s.out = nil
	return list
}

// RFC 7383: the messages of both sides are sent in fragments of the configured size, which arrive
// in any order. A retransmission brings a lost one together with the others.
func TestFragments(t *testing.T) {
	const size = 200
	p := newPair(t, 1, fragmenting(size))
	p.script(true)
	ref := p.left.connect("")
	init := p.wantSend("left asks, in one piece", p.left, wire.IKESAInit, false, initPayloads)
	p.deliver(init)
	p.deliver(p.wantSend("right answers, in one piece", p.right, wire.IKESAInit, true, initResponse))
	for round := range 2 {
		pieces := p.nextFragments(p.left)
		for i := len(pieces) - 1; i >= 0; i-- {
			if n := len(pieces[i].pk.data) + 28; n > size {
				p.fatalf("a fragment makes a datagram of %d octets, want %d at most", n, size)
			}
			if round == 0 && i == 1 {
				continue // lost
			}
			p.deliver(pieces[i])
		}
		if round == 0 {
			p.wantIdle("right waits for the lost one")
			p.drive(time.Second)
		}
	}
	answer := p.nextFragments(p.right)
	for _, m := range answer {
		p.deliver(m)
	}
	p.wantIdle("that is all")
	p.wantDone(p.left, ref, "")
	if p.left.e.Counters()["ike_retransmitted"] != 1 {
		p.fatalf("counters %v", p.left.e.Counters())
	}
	p.script(false)
	p.left.traffic("lan")
	p.drive(time.Second)
	p.wantTunnel()
}

// A copy of the first fragment of an answered request gets the whole response again, copies of the
// others get nothing (RFC 7383, Section 2.6.1).
func TestFragmentsAnsweredOnce(t *testing.T) {
	p := newPair(t, 1, fragmenting(200))
	p.script(true)
	p.left.connect("")
	p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, "..."))
	p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
	pieces := p.nextFragments(p.left)
	for _, m := range pieces {
		p.deliver(m)
	}
	answer := p.nextFragments(p.right)
	for _, m := range pieces[1:] {
		p.deliver(m)
	}
	p.wantIdle("later fragments are not answered")
	p.deliver(pieces[0])
	if again := p.nextFragments(p.right); len(again) != len(answer) {
		p.fatalf("%d fragments of the answer come again, want %d", len(again), len(answer))
	}
}

// A peer without support of fragments gets every message in one piece, on either side.
func TestNoFragmentsUnlessBoth(t *testing.T) {
	for _, left := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) {
			fragmenting(200)(p)
			s := p.right
			if left {
				s = p.left
			}
			s.peers[0].Fragment = 0
		})
		link := p.link
		p.link = func(pk *testPacket) []time.Duration {
			if pk.msg != nil && pk.msg.fragment != "" {
				t.Errorf("left without %v: %v", left, pk.msg)
			}
			return link(pk)
		}
		p.up()
		p.left.rekey("")
		p.drive(2 * time.Second)
	}
}

// TestRefragmentedRequest: the peer cuts an answered request to another size. Its first fragment,
// if it is authentic, brings the response again, and the others nothing (RFC 7383, Section 2.6.1).
func TestRefragmentedRequest(t *testing.T) {
	a := newAttack(newPair(t, 1, fragmenting(600)))
	a.up()
	a.script(true)
	victim := a.left
	main, keys := a.established(victim)
	h := wire.Header{
		InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, MajorVersion: 2, Exchange: wire.Informational,
		Initiator: !main.initiator, MessageID: main.win.ExpectedID(),
	}
	ps := []wire.Payload{&wire.Notify{Kind: 40000, Data: make([]byte, 30)}}
	first, plain := wire.FirstType(ps), wire.AppendPayloads(nil, ps)
	piece := func(number, total uint16) []byte {
		size := (len(plain) + int(total) - 1) / int(total)
		from := int(number-1) * size
		typ := first
		if number > 1 {
			typ = 0
		}
		return a.sealFragment(keys, h, typ, number, total, plain[from:min(from+size, len(plain))])
	}
	send := func(data []byte) { a.inject(victim, victim.other().home(), data) }
	send(piece(1, 2))
	a.wantIdle("one half")
	send(piece(2, 2))
	a.wantSend("the response", victim, wire.Informational, true, "")
	send(piece(2, 3))
	send(piece(3, 3))
	a.wantIdle("later fragments of another size")
	forged := piece(1, 3)
	forged[len(forged)-1]++
	send(forged)
	a.wantIdle("a forged first fragment")
	if n := victim.e.Counters()["ike_auth_failed"]; n != 1 {
		t.Errorf("%d forged fragments are counted", n)
	}
	before := victim.e.Counters()["ike_duplicate_request"]
	send(piece(1, 3))
	a.wantSend("the response again", victim, wire.Informational, true, "")
	if n := victim.e.Counters()["ike_duplicate_request"] - before; n != 1 {
		t.Errorf("%d duplicates are counted", n)
	}
}
