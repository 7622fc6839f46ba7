package netio

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
}

// TestHelperLeavesTheBell: only the worker itself has the next packet ring, when it has found its
// ring dry. A helper that did so, or that ended it, would leave packets to a worker that sleeps on.
func TestHelperLeavesTheBell(t *testing.T) {
	const spi = 1000
	p := newRingPair(t, 2)
	p.live(t, spi)
	host, helper := p.netB.Ports()[0], p.netB.Ports()[1].(Helper)
	awake := word(p.netB.ports[0].ring.Load().mem, ringAwake)
	want := func(after string, want uint64) {
		t.Helper()
		if got := awake.Load(); got != want {
			t.Errorf("%s: awake is %d, want %d", after, got, want)
		}
	}
	byHelper := func() error {
		var in Received
		return helper.RecvFor(host, nil, &in)
	}
	mustBeDry(t, host, nil)
	want("the worker found it dry", 0)
	if err := byHelper(); !errors.Is(err, ErrWouldBlock) {
		t.Fatal(err)
	}
	want("a helper found it dry", 0)
	p.numbered(t, spi, 0, 1)
	want("a packet rang", 1)
	if err := byHelper(); err != nil {
		t.Fatal(err)
	}
	if err := byHelper(); !errors.Is(err, ErrWouldBlock) {
		t.Fatal(err)
	}
	want("a helper took it and found it dry", 1)
	p.numbered(t, spi, 1, 2)
	recv(t, host, nil)
	mustBeDry(t, host, nil)
	want("the worker found it dry again", 0)
}

// TestFailureAfterTheRing: what is in the ring comes although a socket fails, and the failure is
// told, once, when there is nothing more.
func TestFailureAfterTheRing(t *testing.T) {
	const spi = 1000
	p := newRingPair(t, 1)
	p.live(t, spi)
	rx := p.netB.ports[0]
	mustBeDry(t, rx, nil)
	unconnected, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(unconnected)
	s := rx.heard[0]
	defer func(fd int) { s.fd = fd }(s.fd)
	s.fd = unconnected
	p.numbered(t, spi, 0, 1)
	s.ready.Store(true)
	rx.ringFirst = true // before: now it is the sockets' turn
	var in Received
	if err := rx.Recv(nil, &in); err != nil || in.Kind != ESP {
		t.Fatalf("%v, kind %d", err, in.Kind)
	}
	if err := rx.Recv(nil, &in); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("then %v", err)
	}
	if awake := word(rx.ring.Load().mem, ringAwake).Load(); awake != 0 {
		t.Error("the next packet does not ring")
	}
	if err := rx.Recv(nil, &in); !errors.Is(err, ErrWouldBlock) {
		t.Errorf("at last %v", err)
	}
}

// numbered sends packets of an SA with the sequence numbers from first on, before last.
func (p *pair) numbered(t *testing.T, spi, first, last uint32) {
	t.Helper()
	for n := first; n < last; n++ {
		out := Outgoing{Data: espPacket(spi, 100), Path: espPath(false, at(addrA[false], 0), at(addrB[false], 0))}
		binary.BigEndian.PutUint32(out.Data[4:], n)
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
	}
}

// inOrder receives the packets with the numbers from first on, before last, by the ports in turn.
func (p *pair) inOrder(t *testing.T, first, last uint32) {
	t.Helper()
	host, helper := p.netB.Ports()[0], p.netB.Ports()[1].(Helper)
	for by := 0; first < last; by = 1 - by {
		receive := [2]func([]byte, *Received) error{host.Recv, func(b []byte, in *Received) error { return helper.RecvFor(host, b, in) }}[by]
		held := map[uint32][]byte{}
		for more := true; more; first++ {
			var in Received
			err := receive(nil, &in)
			for len(held) == 0 && errors.Is(err, ErrWouldBlock) && poll(host, 5*time.Second) {
				err = receive(nil, &in)
			}
			if err != nil {
				t.Fatalf("packet %d: %v", first, err)
			}
			if got := binary.BigEndian.Uint32(in.Data[4:]); got != first {
				t.Fatalf("packet %d came, want %d", got, first)
			}
			held[first], more = in.Data, in.More
		}
		for n, data := range held {
			if binary.BigEndian.Uint32(data[4:]) != n {
				t.Fatalf("the memory of packet %d has another before its burst has ended", n)
			}
		}
	}
	mustBeDry(t, p.netB.Ports()[1], nil) // a helper that looks after its own again
}

// TestRingAfterSockets: when packets begin to be taken, those that wait in a socket come first,
// whenever the worker wakes.
func TestRingAfterSockets(t *testing.T) {
	const spi = 1000
	p := newRingPair(t, 2)
	p.live(t, 1002) // the worker's ring is there
	for _, n := range []uint32{0, 1, maxBurst - 1, maxBurst, 5 * maxBurst} {
		p.netB.Gone(spi)
		p.netB.ports[0].ring.Load().turn.Store(ringDue)
		p.numbered(t, spi, 0, n)
		p.netB.Live(spi)
		p.numbered(t, spi, n, n+300)
		p.inOrder(t, 0, n+300)
		if got := p.netB.ports[0].ring.Load().turn.Load(); got != ringFlows {
			t.Errorf("after all packets the turn is %d", got)
		}
		mustBeDry(t, p.netB.Ports()[0], nil)
	}
}

// TestSocketsAfterRing: when packets end to be taken, those that wait in the ring come first, also
// if a socket was read before the last of them came.
func TestSocketsAfterRing(t *testing.T) {
	const spi = 1000
	p := newRingPair(t, 2)
	p.live(t, spi)
	p.numbered(t, spi, 0, 1)
	p.inOrder(t, 0, 1)
	for _, n := range []uint32{1, burstDatagrams, 5 * burstDatagrams} {
		p.netB.Live(spi)
		p.netB.ports[0].ring.Load().turn.Store(ringFlows)
		p.numbered(t, spi, 0, n)
		p.netB.ports[0].ring.Load().turn.Store(ringLeads)
		p.netB.Gone(spi)
		p.numbered(t, spi, n, n+100)
		p.inOrder(t, 0, n+100)
		mustBeDry(t, p.netB.Ports()[0], nil)
	}
}

// A packet that came into the ring after a socket was tried for is still older than what the socket
// had.
func TestRingBeforeBurst(t *testing.T) {
	p := newRingPair(t, 2)
	p.live(t, 1000)
	rx := p.netB.ports[0]
	rx.ring.Load().turn.Store(ringLeads)
	p.numbered(t, 1002, 2, 6) // by the socket
	for _, s := range rx.heard {
		if s.raw && !s.v6 {
			if e := rx.burst.receive(s); e != 0 {
				t.Fatal(e)
			}
		}
	}
	p.numbered(t, 1000, 0, 2) // by the ring
	var got []uint32
	for more := true; more; {
		var in Received
		if err := rx.Recv(nil, &in); err != nil {
			t.Fatal(err)
		}
		got, more = append(got, binary.BigEndian.Uint32(in.Data[4:])), in.More
	}
	if !slices.Equal(got, []uint32{0, 1, 2, 3, 4, 5}) {
		t.Errorf("one burst has %d", got)
	}
}
