package netio

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/internal/netlab"
)

// TestSlowDeviceHurtsItsPeersAlone: one peer is behind a device of 5 Mbit/s with a queue of 16 MB,
// and is sent far more than that; another peer behind an idle device receives all of its packets.
func TestSlowDeviceHurtsItsPeersAlone(t *testing.T) { slowDevice(t, newPair(t, 1)) }

// The same holds past the IP stack.
func TestSlowDeviceDirect(t *testing.T) {
	p := newDirectPair(t, 1)
	slowDevice(t, p)
	if n := direct(p.netA); n < 4000 {
		t.Errorf("only %d packets were sent past the IP stack", n)
	}
}

func slowDevice(t *testing.T, p *pair) {
	const rate, queue = 5_000_000, 16 << 20
	other := newHost(t, p.lab, "nn-c")
	if err := p.lab.Link(netlab.Iface{Host: p.a, Name: "nn1", Addrs: []string{"198.51.100.1/24", "2001:db8:5::1/64"}},
		netlab.Iface{Host: other, Name: "nn0", Addrs: []string{"198.51.100.2/24", "2001:db8:5::2/64"}}, 1500); err != nil {
		t.Fatal(err)
	}
	waitUp(t, other)
	netC := openIn(t, other, Config{IKEPort: 500, NATPort: 4500, Workers: 1, RawESP: true})
	from := map[bool]netip.Addr{false: netip.MustParseAddr("198.51.100.1"), true: netip.MustParseAddr("2001:db8:5::1")}
	to := map[bool]netip.Addr{false: netip.MustParseAddr("198.51.100.2"), true: netip.MustParseAddr("2001:db8:5::2")}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for v6, src := range from { // a new device may lose the first question for a neighbour
		if _, err := p.a.PingUntil(ctx, src, to[v6], 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		if err := p.a.Shape("nn0", rate, queue, false); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.a.Unshape("nn0") }()
		slow, _ := laidOut(v6, encap, port, times(40, 1400)...)
		good := Outgoing{Data: espPacket(1, 1400), Path: espPath(encap, at(from[v6], port), at(to[v6], port))}
		outs := append(slow, good, slow[0], good)
		tx, rx := p.netA.Ports()[0], netC.Ports()[0]
		buf := make([]byte, 65535)
		var in Received
		var sent, lost, came int
		receive := func() {
			for lookEverywhere(rx); rx.Recv(buf, &in) == nil; {
				came += (&Outgoing{Data: in.Data, SegSize: in.SegSize}).Datagrams()
			}
		}
		for range 2000 { // 112 MB to the one and 5.6 MB to the other
			tx.Send(outs)
			sent, lost = sent+2, lost+outs[40].Lost+outs[42].Lost
			receive()
		}
		for came < sent-lost && poll(rx, 5*time.Second) {
			receive()
		}
		t.Logf("of %d, %d were lost and %d came", sent, lost, came)
		if lost*100 >= sent || came < sent-lost {
			t.Errorf("of %d datagrams to the peer that is not behind it, %d were lost and %d came", sent, lost, came)
		}
	})
}

// TestSidings: each moved remote gets a siding of its own while there are free ones, and then an
// empty one, whose remote goes back; a remote that fills its siding keeps it.
func TestSidings(t *testing.T) {
	p := newPair(t, 1)
	if err := p.a.Shape("nn0", 100_000, 16<<20, false); err != nil {
		t.Fatal(err)
	}
	s := p.netA.ports[0].socks[0]
	remote := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}) }
	at := func(i int) *socket {
		return s.way(&Outgoing{Path: espPath(false, at(addrA[false], 4500), at(remote(i), 4500))})
	}
	taken := map[*socket]bool{s: true}
	for i := range maxSidings {
		s.side.move(remote(i))
		if taken[at(i)] {
			t.Errorf("remote %d got no siding of its own", i)
		}
		taken[at(i)] = true
	}
	slow, _ := laidOut(false, true, 4500, times(64, 1400)...)
	for i := range slow {
		slow[i].Path = ipsec.NATPath(slow[i].Path.Local(), netip.AddrPortFrom(addrB[false], 4500))
	}
	s.side.moved[0].remote = addrB[false]
	for s.side.socks[0].queued() < s.side.size/sidingEmpty {
		p.netA.Ports()[0].Send(slow)
	}
	for i := maxSidings; i < 3*maxSidings; i++ {
		s.side.move(remote(i))
		if at(i) == s || at(i) == s.side.socks[0] {
			t.Errorf("remote %d was given the siding that is full, or none", i)
		}
		holders := map[*socket]int{}
		for _, m := range s.side.moved[:s.side.movedN] {
			holders[m.to]++
		}
		if s.side.movedN != maxSidings || len(holders) != maxSidings {
			t.Errorf("%d remotes are at %d sidings: one has not gone back", s.side.movedN, len(holders))
		}
	}
	if s.side.moved[0].remote != addrB[false] || s.side.moved[0].to != s.side.socks[0] {
		t.Error("the slow remote has lost its siding")
	}
}

// TestHeaviestIsKnown: the remote with the most traffic is known whatever the number of small ones.
func TestHeaviestIsKnown(t *testing.T) {
	p := newPair(t, 1)
	s := p.netA.ports[0].socks[0]
	heavy := netip.MustParseAddr("198.51.100.1")
	for i := range 1000 {
		s.note(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 100)
		if i%4 == 0 {
			s.note(heavy, 200)
		}
	}
	if got := s.side.heaviest(); got != heavy || s.side.sent != 150_000 {
		t.Errorf("%v is sent most of %d octets", got, s.side.sent)
	}
	if s.look() || s.side.movedN != 0 {
		t.Error("it was moved though the buffer is empty")
	}
}
