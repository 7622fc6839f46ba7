package netio

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"culvert/internal/ipsec"
)

// TestBurst: many packets come in one system call and keep their order, sizes, addresses and TOS;
// so do packets that come to another socket in between.
func TestBurst(t *testing.T) {
	p := newPair(t, 1)
	tx, rx, buf := p.netA.Ports()[0], p.netB.Ports()[0], make([]byte, 65535)
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		var want []Outgoing
		for i := range 3*maxBurst + 1 {
			out := Outgoing{Data: espPacket(uint32(1000+i), 40+i*7%1300), Path: espPath(encap, at(addrA[v6], port), at(addrB[v6], port)), TOS: uint8(i) &^ 3}
			if i%2 == 0 {
				out.Path = out.Path.WithLocal(addrA2[v6])
			}
			if err := sendOne(tx, &out); err != nil {
				t.Fatal(err)
			}
			want = append(want, out)
		}
		other := Outgoing{Data: espPacket(7000, 100), Path: espPath(!encap, at(addrA[v6], 4500-port), at(addrB[v6], 4500-port))}
		if err := sendOne(tx, &other); err != nil {
			t.Fatal(err)
		}
		others, bursts, held := 0, 0, [][]byte(nil) // held: of the present burst
		for i := 0; i < len(want)+others; i++ {
			in := recv(t, rx, buf)
			if in.Path.Encapsulated() != encap {
				others++
				continue
			}
			held = append(held, in.Data)
			first := i - others - len(held) + 1
			for k, data := range held {
				if !bytes.Equal(data, want[first+k].Data) {
					t.Fatalf("packet %d did not last until packet %d of its burst", first+k, i-others)
				}
			}
			if !in.More {
				held = nil
				bursts++
			}
			w := want[i-others]
			if !bytes.Equal(in.Data, w.Data) || in.SegSize != 0 || in.Path != espPath(encap, w.Path.Remote(), w.Path.Local()) || in.TOS != w.TOS || in.Kind != ESP {
				t.Fatalf("packet %d: %d octets from %s to %s, TOS %#x; sent %d from %s, TOS %#x", i, len(in.Data), in.Path.Remote(), in.Path.Local(), in.TOS, len(w.Data), w.Path.Local(), w.TOS)
			}
		}
		size := maxBurst
		if encap {
			size = maxUDPBurst
		}
		if held != nil || bursts != (len(want)+size-1)/size {
			t.Errorf("%d packets that waited came in %d bursts of at most %d; %d are of one without an end", len(want), bursts, size, len(held))
		}
		for others == 0 {
			if recv(t, rx, buf).Path.Encapsulated() != encap {
				others++
			}
		}
		mustBeDry(t, rx, buf)
	})
}

// TestOnlyReadySocketsAreRead: a socket is read only while it is reported ready and not found dry.
func TestOnlyReadySocketsAreRead(t *testing.T) {
	p := newPair(t, 1)
	tx, rx := p.netA.Ports()[0], p.netB.ports[0]
	var in Received
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		mustBeDry(t, rx, nil)
		out := Outgoing{Data: espPacket(1000, 100), Path: espPath(encap, at(addrA[v6], port), at(addrB[v6], port))}
		if err := sendOne(tx, &out); err != nil {
			t.Fatal(err)
		}
		if err := rx.Recv(nil, &in); !errors.Is(err, ErrWouldBlock) {
			t.Errorf("Recv = %v from a socket that it was not told of", err)
		}
		for i, s := range rx.heard {
			if s.v6 != v6 || s.raw == encap {
				rx.Ready(i)
			}
		}
		if err := rx.Recv(nil, &in); !errors.Is(err, ErrWouldBlock) {
			t.Errorf("Recv = %v from a socket that it was not told of", err)
		}
		if in := recv(t, rx, nil); !bytes.Equal(in.Data, out.Data) {
			t.Error("something else came")
		}
		for _, s := range rx.heard {
			if s.ready.Load() {
				t.Errorf("socket v6=%t, raw=%t is dry and still looked at", s.v6, s.raw)
			}
		}
	})
}

// TestOddPaths: a nonsensical path is an error and does not end the port.
func TestOddPaths(t *testing.T) {
	p := newPair(t, 1)
	tx, data := p.netA.Ports()[0], espPacket(1000, 100)
	for _, encap := range []bool{false, true} {
		for _, path := range []ipsec.Path{
			{},
			espPath(encap, at(addrA[false], 4500), netip.AddrPort{}),
			ipsec.UDPPath(at(addrA[false], 500), at(addrB[false], 4500)),
			ipsec.NewPath(&ipsec.Transport{Name: "another", CarriesESP: true}, at(addrA[false], 4500), at(addrB[false], 4500), 0),
		} {
			out := Outgoing{Data: data, Path: path}
			if err := sendOne(tx, &out); err == nil {
				t.Errorf("%+v was sent", out)
			}
		}
		// A source of the other family is ignored.
		buf := make([]byte, 65535)
		for _, v6 := range []bool{false, true} {
			out := Outgoing{Data: data, Path: espPath(encap, at(addrA[!v6], 4500), at(addrB[v6], 4500))}
			if err := sendOne(tx, &out); err != nil {
				t.Errorf("%+v: %v", out, err)
			}
			if in := recv(t, p.netB.Ports()[0], buf); !bytes.Equal(in.Data, data) {
				t.Error("something else came")
			}
		}
	}
}

// BenchmarkReceive measures the receiving of many packets of 1400 octets, without their sending.
func BenchmarkReceive(b *testing.B) {
	p := newPair(b, 1)
	tx, rx := p.netA.Ports()[0], p.netB.Ports()[0]
	outs := make([]Outgoing, 4*maxBurst)
	var in Received
	for _, name := range []string{"udp", "protocol50"} {
		for i := range outs {
			outs[i] = Outgoing{Data: espPacket(1000, 1400), Path: espPath(name == "udp", at(addrA[false], 4500), at(addrB[false], 4500))}
		}
		b.Run(name, func(b *testing.B) {
			for n := 0; n < b.N; {
				b.StopTimer()
				tx.Send(outs)
				for !poll(rx, 0) {
				}
				b.StartTimer()
				for rx.Recv(nil, &in) == nil {
					n++
				}
			}
		})
	}
}
