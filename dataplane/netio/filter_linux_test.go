package netio

import (
	"bytes"
	"net/netip"
	"testing"
)

// Every packet comes to one worker and to no other: over UDP to that of its SPI, and of IP protocol
// 50 to that which receives for the listen address, the first of IPv4 and the second of IPv6.
func TestOneWorkerReceives(t *testing.T) {
	const workers = 3
	p := newPair(t, workers)
	buf := make([]byte, 65535)
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		for i := range 12 {
			spi := uint32(i)<<steerShift + 1000
			out := Outgoing{Data: espPacket(spi, 64), Path: espPath(encap, netip.AddrPort{}, at(addrB[v6], port))}
			if err := sendOne(p.netA.Ports()[i%2], &out); err != nil { // the sender does not matter
				t.Fatal(err)
			}
			in := recv(t, p.netB.Ports()[p.receiver(spi, v6, encap)], buf)
			if !bytes.Equal(in.Data, out.Data) {
				t.Fatalf("SPI %d: got %x", spi, in.Data)
			}
			for _, other := range p.netB.Ports() {
				mustBeDry(t, other, buf)
			}
		}
	})
}
