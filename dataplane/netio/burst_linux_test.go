package netio

import (
	"bytes"
	"net/netip"
	"testing"
)

// TestBurst: packets of IP protocol 50 come many in one system call, and each is still its own: order, size, addresses, TOS, and what is sent by others in between.
func TestBurst(t *testing.T) {
	p := newPair(t, 1)
	tx, rx, buf := p.netA.Ports()[0], p.netB.Ports()[0], make([]byte, 65535)
	for _, v6 := range []bool{false, true} {
		var want []Outgoing
		for i := range 3*maxBurst + 1 {
			out := Outgoing{Data: espPacket(uint32(1000+i), 40+i*7%1300), Local: at(addrA[v6], 0), Remote: at(addrB[v6], 0), TOS: uint8(i) &^ 3}
			if i%2 == 0 {
				out.Local = at(addrA2[v6], 0)
			}
			if err := sendOne(tx, &out); err != nil {
				t.Fatal(err)
			}
			want = append(want, out)
		}
		udp := Outgoing{Data: espPacket(7000, 100), Local: at(addrA[v6], 4500), Remote: at(addrB[v6], 4500), Encap: true}
		if err := sendOne(tx, &udp); err != nil {
			t.Fatal(err)
		}
		encap, held := 0, [][]byte(nil) // held: of the burst in hand
		for i := 0; i < len(want)+encap; i++ {
			in := recv(t, rx, buf)
			if in.Encap {
				encap++
				continue
			}
			held = append(held, in.Data)
			first := i - encap - len(held) + 1
			for k, data := range held {
				if !bytes.Equal(data, want[first+k].Data) {
					t.Fatalf("packet %d did not last until packet %d of its burst", first+k, i-encap)
				}
			}
			if !in.More {
				held = nil
			}
			w := want[i-encap]
			if !bytes.Equal(in.Data, w.Data) || in.SegSize != 0 || in.Remote != w.Local || in.Local != w.Remote || in.TOS != w.TOS || in.Kind != ESP {
				t.Fatalf("packet %d: %d octets from %s to %s, TOS %#x; sent %d from %s, TOS %#x", i, len(in.Data), in.Remote, in.Local, in.TOS, len(w.Data), w.Local, w.TOS)
			}
		}
		if held != nil {
			t.Error("a burst without an end")
		}
		for encap == 0 {
			if recv(t, rx, buf).Encap {
				encap++
			}
		}
		mustBeDry(t, rx, buf)
	}
}

// TestOddAddresses: an endpoint that makes no sense is an error, not the end.
func TestOddAddresses(t *testing.T) {
	p := newPair(t, 1)
	tx, data := p.netA.Ports()[0], espPacket(1000, 100)
	for _, encap := range []bool{false, true} {
		for _, out := range []Outgoing{
			{},
			{Local: at(addrA[false], 4500)},
			{Remote: netip.AddrPortFrom(netip.MustParseAddr("::ffff:192.0.2.2"), 4500)},
		} {
			out.Data, out.Encap = data, encap
			if err := sendOne(tx, &out); err == nil {
				t.Errorf("%+v was sent", out)
			}
		}
		// A source of the other family is no source at all.
		buf := make([]byte, 65535)
		for _, v6 := range []bool{false, true} {
			out := Outgoing{Data: data, Encap: encap, Local: at(addrA[!v6], 4500), Remote: at(addrB[v6], 4500)}
			if err := sendOne(tx, &out); err != nil {
				t.Errorf("%+v: %v", out, err)
			}
			if in := recv(t, p.netB.Ports()[0], buf); !bytes.Equal(in.Data, data) {
				t.Error("something else came")
			}
		}
	}
}
