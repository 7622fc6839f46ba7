package netio

import (
	"net/netip"
	"testing"
)

// A probe goes in one IP packet or not at all, and later IKE messages are fragmented as before.
func TestIKEProbes(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	for v6 := range addrA {
		for _, natPort := range []bool{false, true} {
			to, room := at(addrB[v6], 500), 1500-28
			if v6 {
				room -= 20
			}
			if natPort {
				to, room = at(addrB[v6], 4500), room-markerLen
			}
			for size, fits := range map[int]bool{room: true, room + 1: false, 9000: false} {
				if err := p.netA.ProbeIKE(ikePath(natPort, netip.AddrPort{}, to), espPacket(0x11223344, size)); (err == nil) != fits {
					t.Errorf("v6=%t, 4500=%t: %d octets: %v", v6, natPort, size, err)
				}
				if fits && len(readIKE(t, p.netB, buf).Data) != size {
					t.Errorf("v6=%t: another came", v6)
				}
			}
			if err := p.netA.SendIKE(ikePath(natPort, netip.AddrPort{}, to), espPacket(0x11223344, 9000)); err != nil {
				t.Fatal(err)
			}
			if n := len(readIKE(t, p.netB, buf).Data); n != 9000 {
				t.Errorf("v6=%t: afterwards %d octets came", v6, n)
			}
		}
	}
}
