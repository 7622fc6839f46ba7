package netio

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/internal/ipsec"
)

// TestNoOffloads: with NoOffloads a run leaves as single datagrams, and a run from elsewhere
// arrives as such.
func TestNoOffloads(t *testing.T) {
	p := newPair(t, 1)
	cfg := Config{IKEPort: 1500, NATPort: 14500, Workers: 1, Mark: testMark, NoOffloads: true}
	netA, netB := openIn(t, p.a, cfg), openIn(t, p.b, cfg)
	const n, size = 10, 500
	for _, v6 := range []bool{false, true} {
		for _, tt := range []struct {
			name     string
			tx, rx   *Net
			from, to uint16
			receives int
		}{
			{"both with", p.netA, p.netB, 4500, 4500, 1},
			{"sent without", netA, p.netB, 14500, 4500, n},
			{"received without", p.netA, netB, 4500, 14500, n},
		} {
			outs, want := laidOut(v6, true, 4500, times(n, size)...)
			for i := range outs {
				outs[i].Path = ipsec.NATPath(at(addrA[v6], tt.from), at(addrB[v6], tt.to))
			}
			tt.tx.Ports()[0].Send(outs)
			got, datagrams, receives := collect(t, tt.rx.Ports()[0], len(want))
			if !bytes.Equal(got, want) || datagrams != n || receives != tt.receives {
				t.Errorf("v6=%t, %s: %d datagrams in %d receives, want %d in %d", v6, tt.name, datagrams, receives, n, tt.receives)
			}
		}
	}
}

// TestDeafSockets: no packet reaches a raw socket that only sends, even without its filter; what
// it sends without a source has the listen address, or the system's choice.
func TestDeafSockets(t *testing.T) {
	p := newPair(t, 2)
	one := openIn(t, p.b, Config{IKEPort: 501, NATPort: 4501, Workers: 2, Mark: testMark, RawESP: true, Listen: []netip.Addr{addrB2[false], addrB2[true]}})
	buf := make([]byte, 65535)
	deaf := 0
	for _, s := range append(append(p.netB.frag, p.netB.ports[0].socks...), p.netB.ports[1].socks...) {
		for _, d := range append(s.side.socks, s) {
			if !d.deaf {
				continue
			}
			deaf++
			setOption(t, d, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
			defer func() {
				if n, err := unix.Read(d.fd, buf); err != unix.EAGAIN {
					t.Errorf("v6=%t, frag=%t: %d octets came: %v", d.v6, d.frag, n, err)
				}
			}()
		}
	}
	if want := 2*(1+1) + 2*2*maxSidings; deaf != want {
		t.Errorf("%d deaf sockets, want %d: one for fragments and one of a worker of each family, and all sidings", deaf, want)
	}
	for v6 := range addrA {
		to, from := p.receiver(1000, v6, false), netip.AddrPort{}
		for _, fragment := range []bool{false, true} {
			for _, port := range p.netA.Ports() {
				out := Outgoing{Data: espPacket(1000, 99), Path: espPath(false, from, at(addrB[v6], 0)), Fragment: fragment}
				if err := sendOne(port, &out); err != nil {
					t.Fatal(err)
				}
				if in := recv(t, p.netB.Ports()[to], buf); in.Path.Remote().Addr() != addrA[v6] && in.Path.Remote().Addr() != addrA2[v6] {
					t.Errorf("v6=%t, fragment=%t: %v has no source of the host", v6, fragment, in.Path)
				}
			}
			for _, port := range one.Ports() {
				out := Outgoing{Data: espPacket(1000, 99), Path: espPath(false, from, at(addrA[v6], 0)), Fragment: fragment}
				if err := sendOne(port, &out); err != nil {
					t.Fatal(err)
				}
				if in := recv(t, p.netA.Ports()[to], buf); in.Path.Remote().Addr() != addrB2[v6] {
					t.Errorf("v6=%t, fragment=%t: %v is not from the listen address", v6, fragment, in.Path)
				}
			}
		}
	}
}
