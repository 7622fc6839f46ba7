package netio

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

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
