package netio

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// TestRecvFor: a port receives the packets of another worker's sockets, in order, into memory of
// its own.
func TestRecvFor(t *testing.T) {
	const spi = 1000
	p := newPair(t, 2)
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		by := p.receiver(spi, v6, encap)
		host, helper := p.netB.Ports()[by], p.netB.Ports()[1-by].(Helper)
		send := func(first, n int) {
			for i := range n {
				if err := sendOne(p.netA.Ports()[0], &Outgoing{Data: espPacket(spi, 100+first+i), Path: espPath(encap, netip.AddrPort{}, at(addrB[v6], port))}); err != nil {
					t.Fatal(err)
				}
			}
		}
		// take receives a datagram or a whole burst, by the host or for it.
		take := func(buf []byte, by func(buf []byte, in *Received) error) (data [][]byte) {
			t.Helper()
			for in := (Received{More: true}); in.More; {
				err := by(buf, &in)
				if errors.Is(err, ErrWouldBlock) && len(data) == 0 && poll(host, 5*time.Second) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				data = append(data, in.Data)
			}
			return data
		}
		forHost := func(buf []byte, in *Received) error { return helper.RecvFor(host, buf, in) }
		bufs := [2][]byte{make([]byte, 65535), make([]byte, 65535)}
		receive := [2]func([]byte, *Received) error{host.Recv, forHost}
		var came [][]byte
		check := func(what string, first, last int) {
			t.Helper()
			for i := first; i < last; i++ {
				if !bytes.Equal(came[i], espPacket(spi, 100+i)) {
					t.Fatalf("%s: packet %d is another", what, i)
				}
			}
		}
		for next := 0; next < 60; next += 10 {
			by := next / 10 % 2
			send(next, 10)
			came = append(came, take(bufs[by], receive[by])...)
			for len(came) < next+10 { // datagrams of different sizes are not a run, and the burst may have begun early
				data := take(make([]byte, 65535), receive[by])
				for i := range data {
					data[i] = bytes.Clone(data[i])
				}
				came = append(came, data...)
			}
			check("received", next, next+1)
			if next > 0 {
				check("of the other's, received before", next-10, next-9)
			}
		}
		mustBeDry(t, host, bufs[0])
		mustBeDry(t, p.netB.Ports()[1-by], bufs[1])
	})
	if err := p.netB.Ports()[1].(Helper).RecvFor(nil, make([]byte, 100), new(Received)); !errors.Is(err, errStranger) {
		t.Errorf("receiving for a port of something else: %v", err)
	}
}
