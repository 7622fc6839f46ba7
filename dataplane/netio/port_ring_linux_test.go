package netio

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// TestRingOrderAndLoss: packets of an SA come in order, whoever receives them; those that find the
// ring full are lost and counted, and never come by another way.
func TestRingOrderAndLoss(t *testing.T) {
	const spi, sent = 1000, ringSlots + 500
	p := newRingPair(t, 2)
	p.live(t, spi)
	host, helper := p.netB.Ports()[0], p.netB.Ports()[1].(Helper)
	next := func(data []byte) { binary.BigEndian.PutUint32(data[4:], binary.BigEndian.Uint32(data[4:])+1) }
	data := espPacket(spi, 100)
	binary.BigEndian.PutUint32(data[4:], 0)
	out := Outgoing{Data: data, Path: espPath(false, at(addrA[false], 0), at(addrB[false], 0))}
	send := func(n int) {
		for range n {
			if err := sendOne(p.netA.Ports()[0], &out); err != nil {
				t.Fatal(err)
			}
			next(data)
		}
	}
	send(sent)
	counters := func() (in, lost uint64) {
		c := p.netB.Counters()
		return c["net_ring"], c["net_ring_full"]
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, lost := counters(); lost == sent-ringSlots || time.Now().After(deadline) {
			break
		}
	}
	want := uint32(0)
	for by := 0; ; by = 1 - by {
		receive := [2]func([]byte, *Received) error{host.Recv, func(b []byte, in *Received) error { return helper.RecvFor(host, b, in) }}[by]
		var in Received
		err := receive(nil, &in)
		for ; err == nil; err = receive(nil, &in) {
			if got := binary.BigEndian.Uint32(in.Data[4:]); got != want {
				t.Fatalf("packet %d came, want %d", got, want)
			}
			if want++; !in.More {
				break
			}
		}
		if errors.Is(err, ErrWouldBlock) {
			break
		}
	}
	if in, lost := counters(); in != ringSlots || lost != sent-ringSlots || want != ringSlots {
		t.Errorf("%d came, of which %d by the ring, and %d were lost; sent %d", want, in, lost, sent)
	}
	for _, port := range p.netB.Ports() {
		mustBeDry(t, port, nil)
	}
	for round := range uint32(3 * ringSlots / 100) { // the slots are used again
		send(100)
		for n := range uint32(100) {
			if got := binary.BigEndian.Uint32(recv(t, host, nil).Data[4:]); got != sent+100*round+n {
				t.Fatalf("packet %d came, want %d", got, sent+100*round+n)
			}
		}
	}
}

// TestBellWakes: one packet wakes a sleeper, and once it was taken nothing does.
func TestBellWakes(t *testing.T) {
	p := newRingPair(t, 1)
	p.live(t, 1000)
	rx := p.netB.Ports()[0]
	out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(addrA[false], 0), at(addrB[false], 0))}
	for range 100 {
		mustBeDry(t, rx, nil)
		rang := poll(rx, 0) // for what was taken
		if rang && poll(rx, 0) {
			t.Fatal("the bell rings without a packet")
		}
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		if !poll(rx, 5*time.Second) {
			t.Fatal("the bell did not ring")
		}
		var in Received
		if err := rx.Recv(nil, &in); err != nil {
			t.Fatal(err)
		}
	}
	mustBeDry(t, rx, nil)
	r := p.netB.ports[0].ring.Load()
	r.held.Store(true)
	if err := sendOne(p.netA.Ports()[0], &out); err != nil {
		t.Fatal(err)
	}
	mustBeDry(t, rx, nil)
	if !poll(rx, 5*time.Second) || !poll(rx, 0) {
		t.Error("the bell does not ring on while the ring is held")
	}
	r.held.Store(false)
	recv(t, rx, nil)
}
