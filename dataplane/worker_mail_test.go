package dataplane

import (
	"bytes"
	"testing"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
)

// TestESPFromAnotherSocket: ESP that came to a socket of the control plane is received as any
// other, by the worker of its SA.
func TestESPFromAnotherSocket(t *testing.T) {
	a, b := twoGateways(t, 2, nil)
	sa := childSA(t, a, b, 1)
	install(t, a, b, sa)
	sealed := make(chan []byte, 1)
	for _, p := range a.ports {
		p.peer = nil // it goes astray
		p.wiretap(func(o *netio.Outgoing) { sealed <- o.Data })
	}
	for i := range 3 {
		pkt := udpPacket(src4, dst4, true, []byte{byte(i)})
		a.queues[0].inject(pkt)
		r := netio.Received{Kind: netio.ESP, Data: <-sealed, Path: ipsec.NATPath(outerB, outerA)}
		b.Deliver(&r)
		clear(r.Data) // it was copied
		if got := b.queues[netio.WorkerOf(sa.SPIOut, 2)].want(t); !bytes.Equal(got, pkt) {
			t.Errorf("packet %d: %x", i, got)
		}
	}
	b.Deliver(&netio.Received{Kind: netio.ESP, Data: []byte{1, 2, 3, 4}})
	b.wantCounter(t, "esp_malformed", 1)
}

func TestStraysAreBounded(t *testing.T) {
	g := newGateway(t, 1, nil)
	for range maxStrays + 3 {
		g.Deliver(&netio.Received{Kind: netio.ESP, Data: make([]byte, 100)})
	}
	g.wantCounter(t, "esp_stray", 3)
	g.start(t)
	g.wantCounter(t, "esp_unknown_spi", maxStrays)
}
