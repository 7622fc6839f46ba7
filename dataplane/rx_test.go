package dataplane

import (
	"testing"

	"culvert/dataplane/netio"
	"culvert/selector"
)

func TestECN(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	a.ports[0].sending(func(o *netio.Outgoing) error { o.TOS |= 3; return nil }) // the path marks everything
	ect := udpPacket(src6, dst6, true, []byte("x"))
	ect[1] |= 0x20 // ECT(0)
	a.queues[0].inject(ect)
	got := b.queues[0].want(t)
	var hdr selector.Packet
	if err := selector.ParsePacket(got, &hdr); err != nil || hdr.TOS != 3 {
		t.Errorf("TOS %#x, %v, want CE", hdr.TOS, err)
	}
	a.queues[0].inject(udpPacket(src4, dst4, true, []byte("not ECN-capable")))
	b.wantCounter(t, "esp_ecn", 1)
	b.queues[0].wantIdle(t)
}
