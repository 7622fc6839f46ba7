package netio

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// What comes back about a closed port has the sender, what it says and what it quotes, of ESP and
// of IKE; it is counted.
func TestUnreachableIsReceived(t *testing.T) {
	p := newPair(t, 1)
	want := func(t *testing.T, w ipsec.Unreachable) {
		t.Helper()
		select {
		case got := <-p.netA.Unreachable():
			if got != w {
				t.Errorf("got %+v, want %+v", got, w)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("nothing came")
		}
	}
	var told uint64
	for _, v6 := range []bool{false, true} {
		esp := ipsec.NATPath(at(addrA[v6], 4500), at(addrB[v6], 9999)) // no socket is there
		out := Outgoing{Data: espPacket(0xc0ffee01, 100), Path: esp}
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		w := ipsec.Unreachable{Why: ipsec.ObstaclePort, By: addrB[v6], Path: esp, ESP: 0xc0ffee01}
		want(t, w)
		message := binary.BigEndian.AppendUint64(nil, 0x0102030405060708)
		for _, nat := range []bool{false, true} {
			port := map[bool]uint16{false: 500, true: 4500}[nat]
			w.Path, w.ESP, w.IKE = ikePath(nat, at(addrA[v6], port), at(addrB[v6], 9998)), 0, 0x0102030405060708
			if err := p.netA.SendIKE(w.Path, append(message, make([]byte, 20)...)); err != nil {
				t.Fatal(err)
			}
			want(t, w)
		}
		told += 3
	}
	if n := p.netA.Counters()["net_icmp_unreachable"]; n != told {
		t.Errorf("%d are counted, want %d", n, told)
	}
}

// A neighbour that is not there is told by this host itself.
func TestNeighbourIsUnreachable(t *testing.T) {
	p := newPair(t, 1)
	for v6, nobody := range map[bool]string{false: "192.0.2.77", true: "2001:db8::77"} {
		out := Outgoing{Data: espPacket(0xc0ffee01, 100), Path: espPath(false, at(addrA[v6], 0), at(netip.MustParseAddr(nobody), 0))}
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-p.netA.Unreachable():
			if got.Why != ipsec.ObstacleHost || got.By != addrA[v6] || got.ESP != 0xc0ffee01 {
				t.Errorf("got %+v", got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("v6=%t: nothing came", v6)
		}
	}
}
